//! Sends lines of standard input: `produce NAMESRV TOPIC`.
#![expect(clippy::print_stdout, reason = "an example for the command line")]

use rocketkube_client::{Client, Message, Producer};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let namesrv = args.next().unwrap_or_else(|| "127.0.0.1:9876".to_owned());
    let topic = args.next().unwrap_or_else(|| "Lines".to_owned());

    let producer = Producer::new(Client::new(&namesrv)?, "example");
    for line in std::io::stdin().lines() {
        let sent = producer.send(&Message::new(topic.as_str(), line?).tag("line")).await?;
        println!("{} at {}: {}", sent.queue, sent.queue_offset, sent.unique_id);
    }
    Ok(())
}
