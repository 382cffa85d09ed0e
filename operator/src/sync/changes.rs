//! The one way in which brokers and name servers are told anything: as long as this process may act.

use rocketkube_client::protocol::ResponseCode;
use rocketkube_client::{Admin, ClientError};

use crate::term::{Term, TermOver};

/// Why a server was not told, or did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// Whether the server has it is unknown, and no longer for this process to find out.
    #[error(transparent)]
    Term(#[from] TermOver),
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl ChangeError {
    /// What a server said that refused; `None` if it did not answer.
    pub(crate) fn refusal(&self) -> Option<String> {
        match self {
            Self::Client(ClientError::Refused { code, remark, .. }) => {
                Some(format!("{code} {remark}"))
            }
            _ => None,
        }
    }

    /// Whether a refusal has nothing to do with what was asked, so that asking for each alone only
    /// costs.
    pub(crate) fn is_about_everything(&self) -> bool {
        const CODES: [ResponseCode; 4] = [
            ResponseCode::SYSTEM_ERROR,
            ResponseCode::SYSTEM_BUSY,
            ResponseCode::SERVICE_NOT_AVAILABLE,
            ResponseCode::REQUEST_CODE_NOT_SUPPORTED,
        ];
        let Self::Client(error) = self else { return false };
        error.code().is_some_and(|code| CODES.contains(&code))
    }
}

/// Changes what brokers and name servers have.
#[derive(Debug)]
pub(crate) struct Changes {
    admin: Admin,
    term: Term,
}

impl Changes {
    pub(crate) fn new(admin: Admin, term: Term) -> Self {
        Self { admin, term }
    }

    pub(crate) fn term(&self) -> &Term {
        &self.term
    }

    /// Makes one, however many requests it takes.
    pub(crate) async fn make<'a, T, F>(
        &'a self,
        change: impl FnOnce(&'a Admin) -> F,
    ) -> Result<T, ChangeError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        Ok(self.term.within(change(&self.admin)).await??)
    }
}
