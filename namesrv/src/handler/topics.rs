//! Requests about topics.

use rocketkube_protocol::body::{RouteForm, TopicRouteData};
use rocketkube_protocol::names::check_topic;
use rocketkube_protocol::{Body, Request, RequestCode, header};
use tracing::info;

use super::brokers::ORDER_NAMESPACE;
use super::{Answer, Handled, Handler, Refusal};
use crate::routes::UnitTopics;

impl Handler {
    /// `GET_ROUTEINFO_BY_TOPIC` (105): what every client asks every 30 s for every topic.
    pub(super) fn route(&self, request: &Request<'_>) -> Handled {
        let header = request.header::<header::GetRoute<'_>>()?;
        let Some(mut route) = self.routes.read().route(&header.topic) else {
            self.metrics.unknown_topics.add(1);
            return Err(Refusal::NoRoute { topic: header.topic.into_owned() });
        };
        if self.settings().order_config {
            let kept = self.keeper.kept();
            route.order_topic_conf = kept.get(ORDER_NAMESPACE, &header.topic).map(str::to_owned);
        }
        let form = RouteForm::for_client(request.version, header.accept_standard_json_only);
        Ok(Answer::body(route.encode(form)).into())
    }

    /// The lists of topics: all (206), of a cluster (224), of the system (304), of units (311–313).
    pub(super) fn topic_list(&self, request: &Request<'_>) -> Handled {
        let unit = |which| self.routes.read().unit_topics(which);
        let list = match request.code {
            RequestCode::GET_UNIT_TOPIC_LIST => unit(UnitTopics::OfUnits),
            RequestCode::GET_HAS_UNIT_SUB_TOPIC_LIST => unit(UnitTopics::WithUnitSubscribers),
            RequestCode::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST => {
                unit(UnitTopics::WithUnitSubscribersOnly)
            }
            _ if !self.settings().topic_list => return Err(Refusal::ListsOff),
            RequestCode::GET_TOPICS_BY_CLUSTER => {
                let cluster = request.header::<header::TopicsByCluster<'_>>()?.cluster;
                self.routes.read().topics_of_cluster(&cluster)
            }
            RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS => self.routes.read().system_topics(),
            _ => self.routes.read().topic_list(),
        };
        Ok(Answer::body(list.encode()).into())
    }

    /// `DELETE_TOPIC_IN_NAMESRV` (216): until a broker brings it again.
    pub(super) fn delete_topic(&self, request: &Request<'_>) -> Handled {
        let header = request.header::<header::DeleteTopicInNamesrv<'_>>()?;
        let cluster = header.cluster.as_deref().filter(|cluster| !cluster.is_empty());
        self.routes.write().delete_topic(&header.topic, cluster);
        info!(topic = &*header.topic, "topic deleted");
        Ok(Answer::default().into())
    }

    /// `REGISTER_TOPIC_IN_NAMESRV` (217): a topic on brokers that are known.
    pub(super) fn register_topic(&self, request: &Request<'_>) -> Handled {
        let topic = request.header::<header::DeleteTopicInNamesrv<'_>>()?.topic;
        check_topic(&topic)?;
        let route = TopicRouteData::decode(request.body)?;
        self.routes.write().register_topic(&topic, &route.queue_datas)?;
        Ok(Answer::default().into())
    }
}
