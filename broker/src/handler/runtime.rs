//! What the broker says of itself to tools, and the settings they may see.

use std::collections::BTreeMap;

use rocketkube_protocol::body::{Body, KvTable};
use rocketkube_protocol::{Request, version};

use super::super::broker::Broker;
use crate::answer::Reply;
use crate::config::FlushMode;
use crate::refusal::AdminError;

/// Enum name of the version in our answers. Source: `MQVersion` of Apache RocketMQ.
const VERSION_NAME: &str = "V5_4_0";

/// `GET_BROKER_RUNTIME_INFO` (28). Keys and formats as tools parse them: exporters drop all numbers
/// of a broker if one is missing.
pub(crate) fn info(broker: &Broker) -> Reply {
    let mut table = BTreeMap::new();
    let mut put = |key: &str, value: &dyn ToString| {
        table.insert(key.to_owned(), value.to_string());
    };
    let now_ms = broker.now_ms();
    let up_s = (now_ms - broker.started_ms) / 1000;
    put("brokerVersionDesc", &VERSION_NAME);
    put("brokerVersion", &version::OURS);
    put("brokerActive", &true);
    put("bootTimestamp", &broker.started_ms);
    put("startAcceptSendRequestTimeStamp", &0);
    put("runtime", &uptime(up_s));
    put("msgPutTotalTodayNow", &broker.metrics.messages_in());
    put("msgGetTotalTodayNow", &broker.metrics.messages_out());
    for key in ["msgPutTotalTodayMorning", "msgPutTotalYesterdayMorning"] {
        put(key, &0);
    }
    for key in ["msgGetTotalTodayMorning", "msgGetTotalYesterdayMorning"] {
        put(key, &0);
    }
    for key in ["putTps", "getTotalTps", "getFoundTps", "getMissTps", "getTransferredTps"] {
        put(key, &"0.0 0.0 0.0");
    }
    put("putMessageDistributeTime", &"null");
    put("putMessageTimesTotal", &broker.metrics.messages_in());
    for key in ZEROS {
        put(key, &0);
    }
    put("putMessageAverageSize", &"0.0");
    put("remainHowManyDataToFlush", &"0 B");
    put("remainHowManyDataToCommit", &"0 B");
    put("commitLogMinOffset", &broker.store.start().0);
    put("commitLogMaxOffset", &broker.store.confirmed());
    let disk = broker.disk();
    let used_ratio = f64::from(disk.used_percent()) / 100.0;
    put(
        "commitLogDirCapacity",
        &format!("Total : {}, Free : {}.", gib(disk.total), gib(disk.free)),
    );
    put("commitLogDiskRatio", &used_ratio);
    put("consumeQueueDiskRatio", &used_ratio);
    put("earliestMessageTimeStamp", &-1);
    // Not keys of Apache's: whether clients are sent here, and may send.
    put("registeredNameServers", &broker.registrations.count());
    if let Some(full) = broker.full() {
        put("messagesRefused", &full);
    }
    Reply::body(KvTable { table }.encode())
}

/// Keys of queues and stages that do not exist here: nothing ever waits in them.
const ZEROS: [&str; 24] = [
    "putMessageEntireTimeMax",
    "getMessageEntireTimeMax",
    "putMessageSizeTotal",
    "putMessageFailedTimes",
    "dispatchMaxBuffer",
    "dispatchBehindBytes",
    "pageCacheLockTimeMills",
    "remainTransientStoreBufferNumbs",
    "sendThreadPoolQueueSize",
    "sendThreadPoolQueueCapacity",
    "sendThreadPoolQueueHeadWaitTimeMills",
    "pullThreadPoolQueueSize",
    "pullThreadPoolQueueCapacity",
    "pullThreadPoolQueueHeadWaitTimeMills",
    "queryThreadPoolQueueSize",
    "queryThreadPoolQueueCapacity",
    "queryThreadPoolQueueHeadWaitTimeMills",
    "EndTransactionQueueSize",
    "EndTransactionThreadPoolQueueCapacity",
    "timerReadBehind",
    "timerOffsetBehind",
    "timerCongestNum",
    "timerEnqueueTps",
    "timerDequeueTps",
];

fn uptime(seconds: i64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    format!("[ {days} days, {hours} hours, {minutes} minutes, {seconds} seconds ]")
}

/// `93.1 GiB`: tools cut off the last character of the last word and parse the number.
fn gib(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let gib = bytes as f64 / f64::from(1 << 30);
    format!("{gib:.1} GiB")
}

/// `GET_BROKER_CONFIG` (26): the settings that tools look for, under Apache's names.
pub(crate) fn config(broker: &Broker) -> Reply {
    let config = &broker.config;
    let flush = if config.flush == FlushMode::Async { "ASYNC_FLUSH" } else { "SYNC_FLUSH" };
    let hours = config.retention.as_secs() / 3600;
    let settings: [(&str, String); 15] = [
        ("brokerName", config.name.clone()),
        ("brokerClusterName", config.cluster.clone()),
        ("brokerId", "0".to_owned()),
        ("brokerIP1", broker.advertised.ip().to_string()),
        ("listenPort", broker.advertised.port().to_string()),
        ("namesrvAddr", config.namesrv.clone()),
        ("brokerRole", "ASYNC_MASTER".to_owned()),
        ("flushDiskType", flush.to_owned()),
        ("fileReservedTime", hours.to_string()),
        ("deleteWhen", "04".to_owned()),
        ("autoCreateTopicEnable", config.auto_create_topics.to_string()),
        ("autoCreateSubscriptionGroup", config.auto_create_groups.to_string()),
        ("defaultTopicQueueNums", config.default_queues.to_string()),
        ("storePathRootDir", config.data_dir.display().to_string()),
        ("maxMessageSize", config.max_body_size.to_string()),
    ];
    let lines: Vec<_> = settings.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    let version = broker.data_version();
    Reply::body(lines.concat()).field("version", String::from_utf8_lossy(&version.encode()))
}

/// `UPDATE_BROKER_CONFIG` (25). No setting of this version can be changed while it runs, least of
/// all by whoever reaches the port: names of files, addresses and permissions never will be.
pub(crate) fn update_config(request: &Request<'_>) -> Result<Reply, AdminError> {
    let text = String::from_utf8_lossy(request.body);
    let mut lines = text.lines().map(str::trim);
    // What is no setting either changes nothing, and must not look as if it did.
    match lines.find(|line| !(line.is_empty() || line.starts_with(['#', '!']))) {
        None => Ok(Reply::done()),
        Some(line) => {
            let key = line.split('=').next().unwrap_or(line).trim_end();
            Err(AdminError::SettingRefused { key: key.chars().take(64).collect() })
        }
    }
}
