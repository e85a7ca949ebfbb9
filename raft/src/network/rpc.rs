//! Requests and responses over one standing connection, out of order.
//!
//! Everything in the queue goes out in one frame, so forwarded commands travel in batches without
//! added delay. Callers learn the difference that matters: a request that never left this node
//! certainly did not run; one that left and got no answer may have.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Dialer;
use super::stream::{FrameReader, FrameWriter};
use crate::protocol::{Channel, Request, Response};

/// The most requests in one frame.
const BATCH_MAX: usize = 4096;

/// About the most bytes of proposals in one frame; well below the frame limit.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// Without any response for this long while some are due, the peer is stuck: reconnect.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Frames of requests that wait for the socket; more stay in the queue.
const FRAMES_MAX: usize = 4;

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CallError {
    /// The request never left.
    NotSent,
    /// It left; whether it ran is unknown.
    Lost,
}

struct Call {
    request: Request,
    answer: oneshot::Sender<Result<Response, CallError>>,
}

/// Handle to the connection; cheap to clone. The connection ends with the last handle.
#[derive(Clone)]
pub(crate) struct Rpc {
    calls: mpsc::UnboundedSender<Call>,
}

impl Rpc {
    pub(crate) fn new(
        dialer: Dialer,
        to: u64,
        name: String,
        address: String,
        channel: Channel,
    ) -> Self {
        let (calls, queue) = mpsc::unbounded_channel();
        let runtime = dialer.runtime.clone();
        let link = Link { dialer, to, name, address, channel, queue, waiting: BTreeMap::new() };
        runtime.spawn(link.run());
        Self { calls }
    }

    /// Asks, and waits for the answer until `limit`.
    pub(crate) async fn call(
        &self,
        request: Request,
        limit: Duration,
    ) -> Result<Response, CallError> {
        let (answer, reply) = oneshot::channel();
        if self.calls.send(Call { request, answer }).is_err() {
            return Err(CallError::NotSent);
        }
        match tokio::time::timeout(limit, reply).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(CallError::Lost),
        }
    }
}

type Waiting = BTreeMap<u64, oneshot::Sender<Result<Response, CallError>>>;

struct Link {
    dialer: Dialer,
    to: u64,
    name: String,
    address: String,
    channel: Channel,
    queue: mpsc::UnboundedReceiver<Call>,
    waiting: Waiting,
}

impl Link {
    async fn run(mut self) {
        let mut next_id = 0;
        while let Some(first) = self.queue.recv().await {
            let opened = self.dialer.open(self.to, &self.name, &self.address, self.channel).await;
            let (reader, writer) = match opened {
                Ok(halves) => halves,
                Err(error) => {
                    tracing::debug!(peer = %self.name, %error, "cannot reach peer");
                    drop(first.answer.send(Err(CallError::NotSent)));
                    while let Ok(call) = self.queue.try_recv() {
                        drop(call.answer.send(Err(CallError::NotSent)));
                    }
                    continue;
                }
            };
            let ended = self.converse(reader, writer, first, &mut next_id).await;
            if let Err(error) = ended {
                tracing::debug!(peer = %self.name, %error, "connection to peer ended");
            }
            for (_, answer) in std::mem::take(&mut self.waiting) {
                drop(answer.send(Err(CallError::Lost)));
            }
        }
    }

    /// Reads and writes concurrently: two ends that only wrote would wait for each other.
    async fn converse(
        &mut self,
        mut reader: FrameReader,
        mut writer: FrameWriter,
        first: Call,
        next_id: &mut u64,
    ) -> io::Result<()> {
        let (frames, mut outgoing) = mpsc::channel::<Vec<(u64, Request)>>(FRAMES_MAX);
        let to_socket = async move {
            while let Some(frame) = outgoing.recv().await {
                writer.write_within(&frame, SILENCE_MAX).await?;
            }
            Ok::<(), io::Error>(())
        };
        let (queue, waiting) = (&mut self.queue, &mut self.waiting);
        let conversation = async move {
            let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
            frames.try_send(batch(first, queue, waiting, next_id)).map_err(|_| gone())?;
            let mut heard = Instant::now();
            loop {
                let may_send = frames.capacity() > 0;
                tokio::select! {
                    biased;
                    frame = reader.read::<Vec<(u64, Response)>>() => {
                        let Some(answers) = frame? else { return Ok(()) };
                        heard = Instant::now();
                        for (id, response) in answers {
                            if let Some(answer) = waiting.remove(&id) {
                                drop(answer.send(Ok(response)));
                            }
                        }
                    }
                    call = queue.recv(), if may_send => {
                        let Some(call) = call else { return Ok(()) };
                        if waiting.is_empty() {
                            heard = Instant::now();
                        }
                        let frame = batch(call, queue, waiting, next_id);
                        frames.try_send(frame).map_err(|_| gone())?;
                    }
                    room = frames.reserve(), if !may_send => {
                        room.map_err(|_| gone())?;
                    }
                    () = tokio::time::sleep_until(heard + SILENCE_MAX), if !waiting.is_empty() => {
                        return Err(io::Error::new(io::ErrorKind::TimedOut, "peer is silent"));
                    }
                }
            }
        };
        tokio::select! {
            ended = to_socket => ended,
            ended = conversation => ended,
        }
    }
}

/// `first` and everything else in the queue, up to a frame. Calls that timed out are dropped, so
/// that a command whose caller has given up does not run later.
fn batch(
    first: Call,
    queue: &mut mpsc::UnboundedReceiver<Call>,
    waiting: &mut Waiting,
    next_id: &mut u64,
) -> Vec<(u64, Request)> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    let mut next = Some(first);
    while let Some(call) = next.take() {
        if !call.answer.is_closed() {
            *next_id += 1;
            bytes += if let Request::Propose(command) = &call.request { command.len() } else { 64 };
            waiting.insert(*next_id, call.answer);
            batch.push((*next_id, call.request));
        }
        if batch.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
            next = queue.try_recv().ok();
        }
    }
    batch
}
