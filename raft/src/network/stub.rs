//! A peer for tests: it agrees to everything it is asked, and does nothing.
//!
//! It takes part in a first start, gives every candidate its vote, acknowledges every append, says
//! that it is well, and accepts leadership without taking it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::greeting::Greeting;
use super::stream::{self, FrameReader, FrameWriter, TcpListener, TcpStream};
use crate::clock::Clock;
use crate::config::AppendRequest;
use crate::log_format;
use crate::protocol::{
    self, Appended, Channel, Contact, ContactReply, Hello, Progress, Request, Response, VoteReply,
    Welcome,
};

/// Longest wait for anything in tests of this crate; a healthy run needs a fraction of it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Where a node of this test alone listens: 127.pid.pid.n, which no outgoing connection takes.
pub(crate) fn own_address() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let (pid, n) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    format!("127.{}.{}.{n}:7000", 1 + (pid >> 8) % 250, pid & 0xff)
}

/// Takes connections until its task is aborted.
pub(crate) async fn run(name: &'static str, listener: TcpListener) {
    run_and_tell(name, listener, Arc::default()).await;
}

/// Does the same, and notifies `told` when it is asked to take over leadership.
pub(crate) async fn run_and_tell(name: &'static str, listener: TcpListener, told: Arc<Notify>) {
    while let Ok((socket, _)) = listener.accept().await {
        let told = Arc::clone(&told);
        // A connection that ends is the other side's wish.
        tokio::spawn(async move { drop(agree(name, socket, &told).await) });
    }
}

async fn agree(name: &str, socket: TcpStream, told: &Notify) -> io::Result<()> {
    let (mut reader, writer) = stream::split(socket);
    let hello = greeted(&mut reader).await?;
    agree_and_tell(name, &hello, reader, writer, told).await
}

/// What the dialler said first.
pub(crate) async fn greeted(reader: &mut FrameReader) -> io::Result<Hello> {
    let greeting: Greeting<Hello> = reader.expect(DEADLINE).await?;
    greeting.understood().map_err(io::Error::other)
}

/// Agrees on one connection, whose [`Hello`] was read.
pub(crate) async fn agree_on(
    name: &str,
    hello: &Hello,
    reader: FrameReader,
    writer: FrameWriter,
) -> io::Result<()> {
    agree_and_tell(name, hello, reader, writer, &Notify::new()).await
}

async fn agree_and_tell(
    name: &str,
    hello: &Hello,
    mut reader: FrameReader,
    mut writer: FrameWriter,
    told: &Notify,
) -> io::Result<()> {
    writer.write_within(&Greeting::own(Welcome::Yes), DEADLINE).await?;
    if hello.channel == Channel::Contact {
        let reply = match reader.expect(DEADLINE).await? {
            Contact::Probe => ContactReply::Vacant { name: name.to_owned(), bootstrap: true },
            Contact::Adopt { .. } => ContactReply::Adopted,
        };
        return writer.write_within(&reply, DEADLINE).await;
    }
    if hello.channel == Channel::Append {
        while let Some(append) = reader.read::<AppendRequest>().await? {
            let last = append.entries.last().map(|entry| entry.log_id).or(append.prev_log_id);
            let answer = Appended::Matches(log_format::log_id(last.as_ref()));
            writer.write_within(&answer, DEADLINE).await?;
        }
    }
    while let Some(questions) = reader.read::<Vec<(u64, Request)>>().await? {
        if questions.iter().any(|(_, question)| matches!(question, Request::Transfer(_))) {
            told.notify_one();
        }
        let answers: Vec<(u64, Response)> =
            questions.into_iter().map(|(id, question)| (id, answer(question))).collect();
        writer.write_within(&answers, DEADLINE).await?;
    }
    Ok(())
}

fn answer(question: Request) -> Response {
    match question {
        Request::Vote(ask) => {
            Response::Vote(VoteReply { vote: ask.vote, granted: true, last: ask.last })
        }
        Request::Transfer(_) => Response::Transfer(None),
        Request::Clock => Response::Clock { now: Clock::new(0, 500).now().get() },
        Request::Status => Response::Status(Progress { applied: 0, last: 0, clock_fit: true }),
        Request::Hash { .. } => Response::Hash(None),
        Request::ReadIndex | Request::Propose(_) | Request::Admin(_) => {
            Response::Failed(protocol::Failed::NotLeader)
        }
    }
}
