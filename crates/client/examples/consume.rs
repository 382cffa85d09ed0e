//! Prints the messages of a topic until interrupted: `consume NAMESRV TOPIC GROUP`.
#![expect(clippy::print_stdout, reason = "an example for the command line")]

use rocketkube_client::{Client, Consumer, ConsumerOptions, From};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let namesrv = args.next().unwrap_or_else(|| "127.0.0.1:9876".to_owned());
    let topic = args.next().unwrap_or_else(|| "Lines".to_owned());
    let group = args.next().unwrap_or_else(|| "example".to_owned());

    let options = ConsumerOptions { from: From::First, ..ConsumerOptions::new(group, topic) };
    let mut consumer = Consumer::start(Client::new(&namesrv)?, options).await?;
    loop {
        let delivery = tokio::select! {
            // Dropped while it waits, `next` loses no message.
            delivery = consumer.next() => delivery,
            interrupted = tokio::signal::ctrl_c() => { interrupted?; None }
        };
        let Some(delivery) = delivery else { break };
        for message in &delivery.messages {
            println!("{} {}", message.queue_offset, String::from_utf8_lossy(&message.body));
        }
        delivery.done();
    }
    Ok(consumer.close().await?)
}
