//! Questions and answers over one standing connection, out of order.
//!
//! Everything that waits goes out in one frame, so forwarded commands travel in batches without
//! any added delay. The difference that matters to a buyer is kept: a request that never left
//! this node certainly did not run; one that left and got no answer may have.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Dialer;
use super::stream::{FrameReader, FrameWriter};
use crate::wire::{Channel, Request, Response};

/// Requests in one frame at most.
const BATCH_MAX: usize = 4096;

/// Bytes of proposals in one frame, about; well below the frame limit.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// No answer at all for so long while some are owed: the peer is stuck, reconnect.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CallError {
    /// The request never left.
    NotSent,
    /// It left; what became of it is unknown.
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
        let link = Link { dialer, to, name, address, channel, queue, waiting: BTreeMap::new() };
        tokio::spawn(link.run());
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

struct Link {
    dialer: Dialer,
    to: u64,
    name: String,
    address: String,
    channel: Channel,
    queue: mpsc::UnboundedReceiver<Call>,
    waiting: BTreeMap<u64, oneshot::Sender<Result<Response, CallError>>>,
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

    async fn converse(
        &mut self,
        mut reader: FrameReader,
        mut writer: FrameWriter,
        first: Call,
        next_id: &mut u64,
    ) -> io::Result<()> {
        self.send(&mut writer, first, next_id).await?;
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                biased;
                frame = reader.read::<Vec<(u64, Response)>>() => {
                    let Some(answers) = frame? else { return Ok(()) };
                    heard = Instant::now();
                    for (id, response) in answers {
                        if let Some(answer) = self.waiting.remove(&id) {
                            drop(answer.send(Ok(response)));
                        }
                    }
                }
                call = self.queue.recv() => {
                    let Some(call) = call else { return Ok(()) };
                    if self.waiting.is_empty() {
                        heard = Instant::now();
                    }
                    self.send(&mut writer, call, next_id).await?;
                }
                () = tokio::time::sleep_until(heard + SILENCE_MAX), if !self.waiting.is_empty() => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "peer is silent"));
                }
            }
        }
    }

    /// Sends `first` and everything else that waits, in one frame.
    async fn send(
        &mut self,
        writer: &mut FrameWriter,
        first: Call,
        next_id: &mut u64,
    ) -> io::Result<()> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(call) = next.take() {
            *next_id += 1;
            bytes += if let Request::Propose(command) = &call.request { command.len() } else { 64 };
            self.waiting.insert(*next_id, call.answer);
            batch.push((*next_id, call.request));
            if batch.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
                next = self.queue.try_recv().ok();
            }
        }
        writer.write_within(&batch, SILENCE_MAX).await
    }
}
