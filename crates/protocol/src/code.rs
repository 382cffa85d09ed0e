//! Request and response codes, as numbers that keep what they do not know.
//!
//! Both are newtypes over `i32`, not enums: a server must answer a code it has never heard of, and a
//! tool must be able to show one. This module says nothing about what a code's header looks like;
//! see [`crate::header`].

use std::fmt;

macro_rules! codes {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $constant:ident = $value:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i32);

        impl $name {
            $($(#[$doc])* pub const $constant: Self = Self($value);)*

            /// Every named code, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$constant),*];

            /// The name RocketMQ's own documents use, or `None` for a number without one.
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$constant => Some(stringify!($constant)),)*
                    _ => None,
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        /// Name and number, or the bare number of an unnamed code.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => write!(f, "{name} ({})", self.0),
                    None => write!(f, "{}", self.0),
                }
            }
        }
    };
}

codes! {
    /// What a request asks for. Numbers: `RequestCode` of Apache RocketMQ 5.
    RequestCode {
        /// Append one message; header fields by their long names.
        SEND_MESSAGE = 10;
        /// Read messages of one queue, waiting for some if asked to.
        PULL_MESSAGE = 11;
        /// Find messages by key or unique id within a time range.
        QUERY_MESSAGE = 12;
        /// Progress of a broker's index for the obsolete broker-side query.
        QUERY_BROKER_OFFSET = 13;
        /// The committed offset of a group in a queue.
        QUERY_CONSUMER_OFFSET = 14;
        /// Commit a group's offset in a queue.
        UPDATE_CONSUMER_OFFSET = 15;
        /// Create or change a topic.
        UPDATE_AND_CREATE_TOPIC = 17;
        /// Create or change several topics.
        UPDATE_AND_CREATE_TOPIC_LIST = 18;
        /// Every topic of a broker with its settings.
        GET_ALL_TOPIC_CONFIG = 21;
        /// Defined, sent by no client in scope.
        GET_TOPIC_CONFIG_LIST = 22;
        /// Defined, sent by no client in scope.
        GET_TOPIC_NAME_LIST = 23;
        /// Change settings of a broker; body is properties text.
        UPDATE_BROKER_CONFIG = 25;
        /// Settings of a broker as properties text.
        GET_BROKER_CONFIG = 26;
        /// Defined, sent by no client in scope.
        TRIGGER_DELETE_FILES = 27;
        /// The runtime table of a broker.
        GET_BROKER_RUNTIME_INFO = 28;
        /// The queue offset that belongs to a time.
        SEARCH_OFFSET_BY_TIMESTAMP = 29;
        /// The offset the next message of a queue will get.
        GET_MAX_OFFSET = 30;
        /// The first offset a queue still holds.
        GET_MIN_OFFSET = 31;
        /// Store time of the first message a queue still holds.
        GET_EARLIEST_MSG_STORETIME = 32;
        /// One message by its physical offset.
        VIEW_MESSAGE_BY_ID = 33;
        /// A client says which groups it holds.
        HEART_BEAT = 34;
        /// A client leaves a group.
        UNREGISTER_CLIENT = 35;
        /// A consumer failed on a message and wants it again later.
        CONSUMER_SEND_MSG_BACK = 36;
        /// Commit or roll back a half message.
        END_TRANSACTION = 37;
        /// Client ids of a consumer group.
        GET_CONSUMER_LIST_BY_GROUP = 38;
        /// Broker to producer: what became of this half message?
        CHECK_TRANSACTION_STATE = 39;
        /// Broker to consumer: members or subscriptions of the group changed.
        NOTIFY_CONSUMER_IDS_CHANGED = 40;
        /// Lock queues for orderly consumption.
        LOCK_BATCH_MQ = 41;
        /// Give such locks back.
        UNLOCK_BATCH_MQ = 42;
        /// Every committed offset of a broker.
        GET_ALL_CONSUMER_OFFSET = 43;
        /// Progress of the delay levels.
        GET_ALL_DELAY_OFFSET = 45;
        /// Check a consumer's subscription before it starts.
        CHECK_CLIENT_CONFIG = 46;
        /// Defined, sent by no client in scope.
        GET_CLIENT_CONFIG = 47;
        /// ACL administration of 4.x.
        UPDATE_AND_CREATE_ACL_CONFIG = 50;
        /// ACL administration of 4.x.
        DELETE_ACL_CONFIG = 51;
        /// ACL administration of 4.x.
        GET_BROKER_CLUSTER_ACL_INFO = 52;
        /// ACL administration of 4.x.
        UPDATE_GLOBAL_WHITE_ADDRS_CONFIG = 53;
        /// ACL administration of 4.x.
        GET_BROKER_CLUSTER_ACL_CONFIG = 54;
        /// Check point of the timer store, for replicas.
        GET_TIMER_CHECK_POINT = 60;
        /// Metrics of the timer store, for replicas.
        GET_TIMER_METRICS = 61;
        /// Name server: set a key of a namespace.
        PUT_KV_CONFIG = 100;
        /// Name server: read a key of a namespace.
        GET_KV_CONFIG = 101;
        /// Name server: delete a key of a namespace.
        DELETE_KV_CONFIG = 102;
        /// A broker tells a name server its address and topics.
        REGISTER_BROKER = 103;
        /// A broker leaves a name server.
        UNREGISTER_BROKER = 104;
        /// Where the queues of a topic are.
        GET_ROUTEINFO_BY_TOPIC = 105;
        /// Every cluster and broker with its addresses.
        GET_BROKER_CLUSTER_INFO = 106;
        /// Create or change a consumer group.
        UPDATE_AND_CREATE_SUBSCRIPTIONGROUP = 200;
        /// Every consumer group of a broker with its settings.
        GET_ALL_SUBSCRIPTIONGROUP_CONFIG = 201;
        /// Offsets of each queue of a topic.
        GET_TOPIC_STATS_INFO = 202;
        /// Live members of a consumer group.
        GET_CONSUMER_CONNECTION_LIST = 203;
        /// Live members of a producer group.
        GET_PRODUCER_CONNECTION_LIST = 204;
        /// Take the write permission from a broker's queues.
        WIPE_WRITE_PERM_OF_BROKER = 205;
        /// Names of all topics a name server knows.
        GET_ALL_TOPIC_LIST_FROM_NAMESERVER = 206;
        /// Delete a consumer group.
        DELETE_SUBSCRIPTIONGROUP = 207;
        /// Progress of a consumer group.
        GET_CONSUME_STATS = 208;
        /// Defined, sent by no client in scope.
        SUSPEND_CONSUMER = 209;
        /// Defined, sent by no client in scope.
        RESUME_CONSUMER = 210;
        /// Defined, sent by no client in scope.
        RESET_CONSUMER_OFFSET_IN_CONSUMER = 211;
        /// Defined, sent by no client in scope.
        RESET_CONSUMER_OFFSET_IN_BROKER = 212;
        /// Defined, sent by no client in scope.
        ADJUST_CONSUMER_THREAD_POOL = 213;
        /// Defined, sent by no client in scope.
        WHO_CONSUME_THE_MESSAGE = 214;
        /// Delete a topic from a broker.
        DELETE_TOPIC_IN_BROKER = 215;
        /// Delete a topic from a name server.
        DELETE_TOPIC_IN_NAMESRV = 216;
        /// Put a topic's route into a name server.
        REGISTER_TOPIC_IN_NAMESRV = 217;
        /// Name server: all keys of a namespace.
        GET_KVLIST_BY_NAMESPACE = 219;
        /// Broker to consumer: continue from these offsets.
        RESET_CONSUMER_CLIENT_OFFSET = 220;
        /// Broker to consumer: which offsets are you at?
        GET_CONSUMER_STATUS_FROM_CLIENT = 221;
        /// Set a group's offsets by time or by number.
        INVOKE_BROKER_TO_RESET_OFFSET = 222;
        /// Ask the members of a group for their offsets.
        INVOKE_BROKER_TO_GET_CONSUMER_STATUS = 223;
        /// Topics of one cluster.
        GET_TOPICS_BY_CLUSTER = 224;
        /// Create or change several consumer groups.
        UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST = 225;
        /// Groups that consume a topic.
        QUERY_TOPIC_CONSUME_BY_WHO = 300;
        /// Registration of the obsolete filter servers.
        REGISTER_FILTER_SERVER = 301;
        /// Registration of the obsolete filter classes.
        REGISTER_MESSAGE_FILTER_CLASS = 302;
        /// Between which times a group stands in each queue.
        QUERY_CONSUME_TIME_SPAN = 303;
        /// System topics of a name server.
        GET_SYSTEM_TOPIC_LIST_FROM_NS = 304;
        /// System topics of a broker.
        GET_SYSTEM_TOPIC_LIST_FROM_BROKER = 305;
        /// Clean queue files that hold only trimmed messages.
        CLEAN_EXPIRED_CONSUMEQUEUE = 306;
        /// State of one consumer; also broker to client.
        GET_CONSUMER_RUNNING_INFO = 307;
        /// Offsets that reconcile a group with others.
        QUERY_CORRECTION_OFFSET = 308;
        /// Let one consumer consume one message now; also broker to client.
        CONSUME_MESSAGE_DIRECTLY = 309;
        /// Append one message; header fields by one-letter names.
        SEND_MESSAGE_V2 = 310;
        /// Topics with the unit flag.
        GET_UNIT_TOPIC_LIST = 311;
        /// Topics with unit subscribers.
        GET_HAS_UNIT_SUB_TOPIC_LIST = 312;
        /// Topics with unit subscribers that are not unit topics.
        GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST = 313;
        /// Copy offsets of one group to another.
        CLONE_GROUP_OFFSET = 314;
        /// One statistics item in three windows.
        VIEW_BROKER_STATS_DATA = 315;
        /// Clean topics no client uses.
        CLEAN_UNUSED_TOPIC = 316;
        /// Progress of all groups of a broker.
        GET_BROKER_CONSUME_STATS = 317;
        /// Change settings of a name server.
        UPDATE_NAMESRV_CONFIG = 318;
        /// Settings of a name server as properties text.
        GET_NAMESRV_CONFIG = 319;
        /// Append several messages to one queue.
        SEND_BATCH_MESSAGE = 320;
        /// Entries of a queue index.
        QUERY_CONSUME_QUEUE = 321;
        /// Does a name server have a broker's newest topics?
        QUERY_DATA_VERSION = 322;
        /// Check a half message again that was given up.
        RESUME_CHECK_HALF_MESSAGE = 323;
        /// Answer of a request-reply consumer; long field names.
        SEND_REPLY_MESSAGE = 324;
        /// Answer of a request-reply consumer; one-letter field names.
        SEND_REPLY_MESSAGE_V2 = 325;
        /// Broker to requester: the answer to your request.
        PUSH_REPLY_MESSAGE_TO_CLIENT = 326;
        /// Give the write permission back to a broker's queues.
        ADD_WRITE_PERM_OF_BROKER = 327;
        /// All live producers of a broker.
        GET_ALL_PRODUCER_INFO = 328;
        /// Delete expired segments of the log now.
        DELETE_EXPIRED_COMMITLOG = 329;
        /// Topics a group has offsets for.
        QUERY_TOPICS_BY_CONSUMER = 343;
        /// The subscription of a group to a topic.
        QUERY_SUBSCRIPTION_BY_CONSUMER = 345;
        /// Settings of one topic.
        GET_TOPIC_CONFIG = 351;
        /// Settings of one consumer group.
        GET_SUBSCRIPTIONGROUP_CONFIG = 352;
        /// Read or set whether a group may read a topic.
        UPDATE_AND_GET_GROUP_FORBIDDEN = 353;
        /// Progress of a queue store this broker does not have.
        CHECK_ROCKSDB_CQ_WRITE_PROGRESS = 354;
        /// Export of a settings store this broker does not have.
        EXPORT_ROCKSDB_CONFIG_TO_JSON = 355;
        /// As `PULL_MESSAGE`, sent by the lite pull consumer.
        LITE_PULL_MESSAGE = 361;
        /// Cancel a timer message.
        RECALL_MESSAGE = 370;
        /// Which queues a consumer shall take, decided by the broker.
        QUERY_ASSIGNMENT = 400;
        /// Let a group pull or pop a topic.
        SET_MESSAGE_REQUEST_MODE = 401;
        /// All such settings.
        GET_ALL_MESSAGE_REQUEST_MODE = 402;
        /// Create or change a topic with mapped queues.
        UPDATE_AND_CREATE_STATIC_TOPIC = 513;
        /// Members of a replication group.
        GET_BROKER_MEMBER_GROUP = 901;
        /// Add a broker to a container.
        ADD_BROKER = 902;
        /// Remove a broker from a container.
        REMOVE_BROKER = 903;
        /// A broker tells a name server that it lives.
        BROKER_HEARTBEAT = 904;
        /// The smallest live broker id of a group changed.
        NOTIFY_MIN_BROKER_ID_CHANGE = 905;
        /// Replicas exchange their addresses.
        EXCHANGE_BROKER_HA_INFO = 906;
        /// State of replication.
        GET_BROKER_HA_STATUS = 907;
        /// Tell a replica how far its master has flushed.
        RESET_MASTER_FLUSH_OFFSET = 908;
        /// Controller: replace the in-sync set.
        CONTROLLER_ALTER_SYNC_STATE_SET = 1001;
        /// Controller: elect a master.
        CONTROLLER_ELECT_MASTER = 1002;
        /// Controller: register a broker.
        CONTROLLER_REGISTER_BROKER = 1003;
        /// Controller: who is master of a group.
        CONTROLLER_GET_REPLICA_INFO = 1004;
        /// Controller: about the controllers themselves.
        CONTROLLER_GET_METADATA_INFO = 1005;
        /// Controller: in-sync sets.
        CONTROLLER_GET_SYNC_STATE_DATA = 1006;
        /// Epochs a broker knows.
        GET_BROKER_EPOCH_CACHE = 1007;
        /// Controller to broker: your role changed.
        NOTIFY_BROKER_ROLE_CHANGED = 1008;
        /// Controller: change settings.
        UPDATE_CONTROLLER_CONFIG = 1009;
        /// Controller: read settings.
        GET_CONTROLLER_CONFIG = 1010;
        /// Controller: forget a broker.
        CLEAN_BROKER_DATA = 1011;
        /// Controller: next free broker id.
        CONTROLLER_GET_NEXT_BROKER_ID = 1012;
        /// Controller: claim a broker id.
        CONTROLLER_APPLY_BROKER_ID = 1013;
        /// Cold-data flow control: change groups.
        UPDATE_COLD_DATA_FLOW_CTR_CONFIG = 2001;
        /// Cold-data flow control: remove groups.
        REMOVE_COLD_DATA_FLOW_CTR_CONFIG = 2002;
        /// Cold-data flow control: read state.
        GET_COLD_DATA_FLOW_CTR_INFO = 2003;
        /// How the log is read ahead.
        SET_COMMITLOG_READ_MODE = 2004;
        /// Create a user.
        AUTH_CREATE_USER = 3001;
        /// Change a user.
        AUTH_UPDATE_USER = 3002;
        /// Delete a user.
        AUTH_DELETE_USER = 3003;
        /// Read a user.
        AUTH_GET_USER = 3004;
        /// List users.
        AUTH_LIST_USER = 3005;
        /// Create rights of a user.
        AUTH_CREATE_ACL = 3006;
        /// Change rights of a user.
        AUTH_UPDATE_ACL = 3007;
        /// Delete rights of a user.
        AUTH_DELETE_ACL = 3008;
        /// Read rights of a user.
        AUTH_GET_ACL = 3009;
        /// List rights.
        AUTH_LIST_ACL = 3010;
        /// Lease messages of a topic.
        POP_MESSAGE = 200_050;
        /// Finish a leased message.
        ACK_MESSAGE = 200_051;
        /// Look at messages without leasing them.
        PEEK_MESSAGE = 200_052;
        /// Prolong or shorten a lease.
        CHANGE_MESSAGE_INVISIBLETIME = 200_053;
        /// Wait until there is something to lease.
        NOTIFICATION = 200_054;
        /// How many pollers wait.
        POLLING_INFO = 200_055;
        /// Used by a tool that exports pop records.
        POP_ROLLBACK = 200_056;
        /// Finish several leased messages.
        BATCH_ACK_MESSAGE = 200_151;
    }
}

codes! {
    /// How a request ended. Numbers: `ResponseCode` of Apache RocketMQ 5.
    ///
    /// Clients retry on some codes and not on others, so a refusal has to get the code that the
    /// reference name server or broker gives it.
    ResponseCode {
        /// Done.
        SUCCESS = 0;
        /// Failed for a reason without a code of its own; producers try another broker.
        SYSTEM_ERROR = 1;
        /// Overloaded; producers try another broker.
        SYSTEM_BUSY = 2;
        /// This server does not know the request code.
        REQUEST_CODE_NOT_SUPPORTED = 3;
        /// A transaction could not be ended.
        TRANSACTION_FAILED = 4;
        /// Stored, but not flushed in time; counts as sent.
        FLUSH_DISK_TIMEOUT = 10;
        /// Stored, but no replica is there; counts as sent.
        SLAVE_NOT_AVAILABLE = 11;
        /// Stored, but not replicated in time; counts as sent.
        FLUSH_SLAVE_TIMEOUT = 12;
        /// The message breaks a limit; producers do not retry.
        MESSAGE_ILLEGAL = 13;
        /// Not serving now; producers try another broker.
        SERVICE_NOT_AVAILABLE = 14;
        /// The client's version cannot do this.
        VERSION_NOT_SUPPORTED = 15;
        /// Topic, group or broker does not allow it.
        NO_PERMISSION = 16;
        /// No such topic.
        TOPIC_NOT_EXIST = 17;
        /// The topic is there already.
        TOPIC_EXIST_ALREADY = 18;
        /// Pull: the queue ends here.
        PULL_NOT_FOUND = 19;
        /// Pull: nothing matched; go on at the next offset at once.
        PULL_RETRY_IMMEDIATELY = 20;
        /// Pull: the offset is outside the queue; go on at the offset given.
        PULL_OFFSET_MOVED = 21;
        /// Nothing stored under this key.
        QUERY_NOT_FOUND = 22;
        /// The subscription's text does not parse.
        SUBSCRIPTION_PARSE_FAILED = 23;
        /// The group does not subscribe this topic.
        SUBSCRIPTION_NOT_EXIST = 24;
        /// The broker knows an older subscription than the client.
        SUBSCRIPTION_NOT_LATEST = 25;
        /// No such consumer group.
        SUBSCRIPTION_GROUP_NOT_EXIST = 26;
        /// No compiled filter for this subscription.
        FILTER_DATA_NOT_EXIST = 27;
        /// The compiled filter is older than the subscription.
        FILTER_DATA_NOT_LATEST = 28;
        /// A field has a value that cannot be.
        INVALID_PARAMETER = 29;
        /// Answer to a transaction check of old clients.
        TRANSACTION_SHOULD_COMMIT = 200;
        /// Answer to a transaction check of old clients.
        TRANSACTION_SHOULD_ROLLBACK = 201;
        /// Answer to a transaction check of old clients.
        TRANSACTION_STATE_UNKNOW = 202;
        /// Answer to a transaction check of old clients.
        TRANSACTION_STATE_GROUP_WRONG = 203;
        /// Unit mode only.
        NO_BUYER_ID = 204;
        /// Unit mode only.
        NOT_IN_CURRENT_UNIT = 205;
        /// The group has no live member.
        CONSUMER_NOT_ONLINE = 206;
        /// A client did not consume a message in time.
        CONSUME_MSG_TIMEOUT = 207;
        /// No message there.
        NO_MESSAGE = 208;
        /// Too many waiting pollers.
        POLLING_FULL = 209;
        /// Nothing came while waiting.
        POLLING_TIMEOUT = 210;
        /// No such broker.
        BROKER_NOT_EXIST = 211;
        /// A replica has not caught up.
        BROKER_DISPATCH_NOT_COMPLETE = 212;
        /// Not for broadcasting groups.
        BROADCAST_CONSUMPTION = 213;
        /// Slow down; pulls come back after 20 ms.
        FLOW_CONTROL = 215;
        /// Static topics: another broker leads this queue.
        NOT_LEADER_FOR_QUEUE = 501;
        /// The request does not fit the message's state.
        ILLEGAL_OPERATION = 604;
        /// Reconnect and repeat; only for clients above 5.3.1.
        GO_AWAY = 1500;
        /// Controller: no such master.
        CONTROLLER_FENCED_MASTER_EPOCH = 2000;
        /// Controller: stale in-sync set epoch.
        CONTROLLER_FENCED_SYNC_STATE_SET_EPOCH = 2001;
        /// Controller: the master is not the one named.
        CONTROLLER_INVALID_MASTER = 2002;
        /// Controller: a member of the in-sync set is not a replica.
        CONTROLLER_INVALID_REPLICAS = 2003;
        /// Controller: no master can be elected.
        CONTROLLER_MASTER_NOT_AVAILABLE = 2004;
        /// Controller: the request cannot be.
        CONTROLLER_INVALID_REQUEST = 2005;
        /// Controller: a broker of the request is dead.
        CONTROLLER_BROKER_NOT_ALIVE = 2006;
        /// Controller: not the leader.
        CONTROLLER_NOT_LEADER = 2007;
        /// Controller: no such group.
        CONTROLLER_BROKER_METADATA_NOT_EXIST = 2008;
        /// Controller: the clean-up request is wrong.
        CONTROLLER_INVALID_CLEAN_BROKER_METADATA = 2009;
        /// Controller: register first.
        CONTROLLER_BROKER_NEED_TO_BE_REGISTERED = 2010;
        /// Controller: the group has a master.
        CONTROLLER_MASTER_STILL_EXIST = 2011;
        /// Controller: the election failed.
        CONTROLLER_ELECT_MASTER_FAILED = 2012;
        /// Controller: the in-sync set could not be changed.
        CONTROLLER_ALTER_SYNC_STATE_SET_FAILED = 2013;
        /// Controller: the broker id cannot be had.
        CONTROLLER_BROKER_ID_INVALID = 2014;
        /// Controller: internal error.
        CONTROLLER_JRAFT_INTERNAL_ERROR = 2015;
        /// Controller: no such live broker.
        CONTROLLER_BROKER_LIVE_INFO_NOT_EXISTS = 2016;
        /// No such user.
        USER_NOT_EXIST = 3001;
        /// No such rights.
        POLICY_NOT_EXIST = 3002;
    }
}

/// Codes above 16 bits, which a Java client sends truncated when it uses the binary header.
///
/// No request code is defined in 3442..=3447 or 3448 and 3543, so the mapping cannot hide another.
pub(crate) fn widen(code: i16) -> i32 {
    match code {
        3442..=3448 | 3543 => i32::from(code) + 3 * 65_536,
        _ => i32::from(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_truncated_code_widens_to_the_code_it_came_from() {
        for &code in RequestCode::ALL {
            let truncated = i16::from_be_bytes([code.0.to_be_bytes()[2], code.0.to_be_bytes()[3]]);
            assert_eq!(widen(truncated), code.0, "{code}");
        }
    }

    #[test]
    fn no_number_has_two_names() {
        let mut numbers: Vec<i32> = RequestCode::ALL.iter().map(|code| code.0).collect();
        numbers.sort_unstable();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn an_unnamed_code_shows_its_number() {
        assert_eq!(RequestCode(99_999).to_string(), "99999");
        assert_eq!(RequestCode::SEND_MESSAGE_V2.to_string(), "SEND_MESSAGE_V2 (310)");
    }
}
