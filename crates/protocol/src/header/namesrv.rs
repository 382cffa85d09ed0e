//! Headers of the name server.

use super::Str;

headers! {
    /// Request of `GET_ROUTEINFO_BY_TOPIC` (105).
    GetRoute<'a> {
        /// Topic.
        topic: Str<'a> = "topic";
        /// Whether the client reads standard JSON only.
        accept_standard_json_only: Option<bool> = "acceptStandardJsonOnly";
    }

    /// Request of `REGISTER_BROKER` (103).
    RegisterBroker<'a> {
        /// Name of the replication group.
        broker_name: Str<'a> = "brokerName";
        /// Address clients connect to.
        broker_addr: Str<'a> = "brokerAddr";
        /// Cluster.
        cluster: Str<'a> = "clusterName";
        /// Address replicas connect to.
        ha_server_addr: Str<'a> = "haServerAddr";
        /// 0 for the master.
        broker_id: i64 = "brokerId";
        /// Silence after which the broker is taken for dead, in milliseconds.
        heartbeat_timeout_ms: Option<i64> = "heartbeatTimeoutMillis";
        /// Whether a replica may answer for a lost master.
        enable_acting_master: Option<bool> = "enableActingMaster";
        /// Whether the body is compressed.
        compressed: Option<bool> = "compressed";
        /// CRC of the body, see [`body_crc`](crate::record::body_crc); 0 if it is not to be checked.
        body_crc: Option<i32> = "bodyCrc32";
        /// Zone of the broker.
        zone: Option<Str<'a>> = "__ZONE_NAME";
    }

    /// Answer to `REGISTER_BROKER`.
    RegisterBrokerAnswer<'a> {
        /// Where a replica finds its master's replication port.
        ha_server_addr: Option<Str<'a>> = "haServerAddr";
        /// Address of the master.
        master_addr: Option<Str<'a>> = "masterAddr";
    }

    /// A broker: requests of `UNREGISTER_BROKER` (104) and `QUERY_DATA_VERSION` (322).
    BrokerIdentity<'a> {
        /// Name of the replication group.
        broker_name: Str<'a> = "brokerName";
        /// Address clients connect to.
        broker_addr: Str<'a> = "brokerAddr";
        /// Cluster.
        cluster: Str<'a> = "clusterName";
        /// 0 for the master.
        broker_id: i64 = "brokerId";
    }

    /// Answer to `QUERY_DATA_VERSION` (322).
    DataVersionAnswer {
        /// Whether the name server wants a registration.
        changed: bool = "changed";
    }

    /// Request of `BROKER_HEARTBEAT` (904).
    BrokerHeartbeat<'a> {
        /// Cluster.
        cluster: Str<'a> = "clusterName";
        /// Address clients connect to.
        broker_addr: Str<'a> = "brokerAddr";
        /// Name of the replication group.
        broker_name: Str<'a> = "brokerName";
        /// 0 for the master.
        broker_id: Option<i64> = "brokerId";
        /// Silence after which the broker is taken for dead, in milliseconds; spelled so.
        heartbeat_timeout_ms: Option<i64> = "heartbeatTimeoutMills";
    }

    /// Request of `GET_BROKER_MEMBER_GROUP` (901).
    BrokerMemberGroup<'a> {
        /// Cluster.
        cluster: Str<'a> = "clusterName";
        /// Name of the replication group.
        broker_name: Str<'a> = "brokerName";
    }

    /// Request of `PUT_KV_CONFIG` (100).
    PutKv<'a> {
        /// Namespace.
        namespace: Str<'a> = "namespace";
        /// Key.
        key: Str<'a> = "key";
        /// Value.
        value: Str<'a> = "value";
    }

    /// Request of `GET_KV_CONFIG` (101) and `DELETE_KV_CONFIG` (102).
    KvKey<'a> {
        /// Namespace.
        namespace: Str<'a> = "namespace";
        /// Key.
        key: Str<'a> = "key";
    }

    /// Answer to `GET_KV_CONFIG` (101).
    KvAnswer<'a> {
        /// Value.
        value: Option<Str<'a>> = "value";
    }

    /// Request of `GET_KVLIST_BY_NAMESPACE` (219).
    KvNamespace<'a> {
        /// Namespace.
        namespace: Str<'a> = "namespace";
    }

    /// Request of `GET_TOPICS_BY_CLUSTER` (224).
    TopicsByCluster<'a> {
        /// Cluster.
        cluster: Str<'a> = "cluster";
    }

    /// Request of `DELETE_TOPIC_IN_NAMESRV` (216).
    DeleteTopicInNamesrv<'a> {
        /// Topic.
        topic: Str<'a> = "topic";
        /// Cluster to delete it from; all if missing.
        cluster: Option<Str<'a>> = "clusterName";
    }

    /// Request of `WIPE_WRITE_PERM_OF_BROKER` (205) and `ADD_WRITE_PERM_OF_BROKER` (327).
    BrokerOfPermission<'a> {
        /// Name of the replication group.
        broker_name: Str<'a> = "brokerName";
    }

    /// Answer to `WIPE_WRITE_PERM_OF_BROKER` (205).
    WipeWritePermAnswer {
        /// Topics that changed.
        topics: i32 = "wipeTopicCount";
    }

    /// Answer to `ADD_WRITE_PERM_OF_BROKER` (327).
    AddWritePermAnswer {
        /// Topics that changed.
        topics: i32 = "addTopicCount";
    }
}
