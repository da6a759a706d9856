//! The control server: what clients ask goes to the loop, what it answers goes back.
//!
//! Each client has a task. It reads one request, hands it to the loop, writes the reply, and only
//! then reads the next, so that a client has one request in the house at a time and what it sends
//! beyond waits in its socket. Whatever a client does or leaves undone, the loop is never held up:
//! messages are bounded ([`MAX_REQUEST`], [`MAX_REPLY`]), whoever is slow is dropped after
//! [`PATIENCE`], and there are at most [`ANYBODY`] clients, with [`ROOT`] places more for root,
//! whom a crowd must not lock out. When all places are taken, the silent make room ([`places`]).
//!
//! Events go past the loop: it puts them into the [`History`], which never waits, and clients that
//! follow them are served from there. So do probes, which are told to the [`Watchers`] there are.

mod denied;
mod history;
mod places;
mod watchers;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ipmp_api::interface::{self, Description, DescriptionOf, EventsAfter, Execute, Executed};
use ipmp_api::interface::{Info, Pong, Probes, Refused, Seen};
use ipmp_api::wire::{self, Call, Decoder, FrameError, MAX_REPLY, MAX_REQUEST, Reply};
use ipmp_core::{Answer, Command, Refusal, Snapshot};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::select;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use denied::Denied;
pub(crate) use history::History;
use places::{ANYBODY, Place, Places, ROOT};
pub(crate) use watchers::Watchers;

/// How long the rest of a request may take, once it has begun, and the taking of a reply.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a client may keep its place without asking anything.
const IDLE: Duration = Duration::from_secs(30);

/// How long a full process waits before it accepts again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Requests that wait for the loop, of all clients.
const QUEUE: usize = ANYBODY + ROOT;

/// How much of what has come meanwhile goes into one reply to a follower.
const TOGETHER: usize = 256;

/// What a client asks of the loop.
#[derive(Debug)]
pub(crate) enum Request {
    /// Change something.
    Execute(Command, Asker),
    /// Show everything.
    Snapshot(oneshot::Sender<Shown>),
    /// Tell the [`Watchers`] of every probe from now on, as there is a new one.
    TellProbes(oneshot::Sender<()>),
}

/// Who waits for what came of a command.
#[derive(Debug)]
pub(crate) struct Asker {
    /// Takes the answer.
    pub(crate) answer: oneshot::Sender<Result<Answer, Refusal>>,
    /// Ends when the client was told, or is gone.
    pub(crate) told: oneshot::Receiver<Infallible>,
}

/// What is told past the loop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// What changed.
    pub(crate) history: History,
    /// Who wants to know what becomes of probes.
    pub(crate) watchers: Watchers,
}

/// A snapshot as clients get it: made once for all of them who ask at the same time.
#[derive(Clone, Debug)]
pub(crate) struct Shown(Result<Arc<[u8]>, Arc<FrameError>>);

impl Shown {
    /// Shows this.
    pub(crate) fn of(snapshot: Snapshot) -> Self {
        let encoded = wire::encode_result(&Seen { snapshot }, MAX_REPLY);
        Self(encoded.map(Arc::from).map_err(Arc::new))
    }
}

fn encoded(reply: Result<Reply, FrameError>) -> Result<Arc<[u8]>, FrameError> {
    wire::encode(&reply?, MAX_REPLY).map(Arc::from)
}

/// Serves clients from now on; their requests come out of the channel. To be called inside the
/// runtime.
pub(crate) fn serve(listener: UnixListener, told: Told) -> mpsc::Receiver<Request> {
    let (requests, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(accept(listener, requests, told));
    receiver
}

async fn accept(listener: UnixListener, requests: mpsc::Sender<Request>, told: Told) {
    let places = Places::default();
    let denied = Denied::default();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely.
                tracing::warn!("cannot accept a client: {error}");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(peer) = stream.peer_cred() else {
            continue;
        };
        let Some(place) = places.take(peer.uid() == 0, Instant::now()) else {
            tokio::spawn(async move { drop(turn_away(stream).await) });
            continue;
        };
        let number = place.number();
        let client = Client {
            stream,
            decoder: Decoder::new(MAX_REQUEST),
            uid: peer.uid(),
            pid: peer.pid(),
            requests: requests.clone(),
            place,
            denied: denied.clone(),
            told: told.clone(),
            telling: None,
        };
        let task = tokio::spawn(client.serve());
        places.served_by(number, task.abort_handle());
        // Who has asked by now is heard before the next one may take its place.
        yield_now().await;
    }
}

/// Says that the house is full. The reply fits into the socket, so that nobody is waited for.
async fn turn_away(mut stream: UnixStream) -> std::io::Result<()> {
    if let Ok(bytes) = Reply::error(interface::BUSY, &()).and_then(|r| wire::encode(&r, MAX_REPLY))
    {
        timeout(PATIENCE, stream.write_all(&bytes)).await??;
    }
    Ok(())
}

struct Client {
    stream: UnixStream,
    decoder: Decoder,
    /// In the daemon's own user namespace, where only its own root is 0.
    uid: u32,
    pid: Option<i32>,
    requests: mpsc::Sender<Request>,
    place: Place,
    denied: Denied,
    told: Told,
    /// Dropped when what came of the last command was written.
    telling: Option<oneshot::Sender<Infallible>>,
}

/// The client is gone, or has to go.
struct Over;

impl Client {
    async fn serve(mut self) {
        while let Ok(call) = self.read().await {
            self.place.asks();
            if call.more && !call.oneway && is_stream(&call.method) {
                let Err(reply) = self.follow(call).await else {
                    return;
                };
                if self.write(encoded(reply).map_err(Arc::new)).await.is_err() {
                    return;
                }
                self.place.is_answered(Instant::now());
                continue;
            }
            let oneway = call.oneway;
            let Some(reply) = self.reply(call).await else {
                return;
            };
            if !oneway && self.write(reply).await.is_err() {
                return;
            }
            self.telling = None;
            self.place.is_answered(Instant::now());
        }
    }

    async fn read(&mut self) -> Result<Call, Over> {
        let mut chunk = vec![0; 4096];
        let mut begun = false;
        let mut deadline = Instant::now() + IDLE;
        loop {
            match self.decoder.message() {
                Ok(Some(call)) => return Ok(call),
                Ok(None) => {}
                Err(error) => {
                    tracing::info!("client {:?} of user {}: {error}", self.pid, self.uid);
                    return Err(Over);
                }
            }
            let count = timeout_at(deadline, self.stream.read(&mut chunk))
                .await
                .map_err(|_| Over)?
                .map_err(|_| Over)?;
            if count == 0 {
                return Err(Over);
            }
            self.decoder.feed(chunk.get(..count).unwrap_or_default());
            if !begun {
                begun = true;
                deadline = Instant::now() + PATIENCE;
            }
        }
    }

    async fn write(&mut self, reply: Result<Arc<[u8]>, Arc<FrameError>>) -> Result<(), Over> {
        let bytes = reply.map_err(|error| {
            tracing::warn!("cannot answer client {:?}: {error}", self.pid);
            Over
        })?;
        match timeout(PATIENCE, self.stream.write_all(&bytes)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Over),
        }
    }

    /// The reply to a call; `None` when the daemon ends.
    async fn reply(&mut self, call: Call) -> Option<Result<Arc<[u8]>, Arc<FrameError>>> {
        let reply = match call.method.as_str() {
            interface::PING => Reply::result(&Pong {
                version: env!("CARGO_PKG_VERSION").into(),
                pid: std::process::id(),
            }),
            interface::SNAPSHOT => {
                let (sender, shown) = oneshot::channel();
                self.requests.send(Request::Snapshot(sender)).await.ok()?;
                return Some(shown.await.ok()?.0);
            }
            interface::EXECUTE if self.uid != 0 => {
                self.say_denied();
                Reply::error(interface::PERMISSION_DENIED, &())
            }
            interface::EXECUTE => match parameters::<Execute>(call) {
                Err(reply) => reply,
                Ok(execute) => {
                    let (sender, answer) = oneshot::channel();
                    let (telling, told) = oneshot::channel();
                    self.telling = Some(telling);
                    let asker = Asker {
                        answer: sender,
                        told,
                    };
                    let request = Request::Execute(execute.command, asker);
                    self.requests.send(request).await.ok()?;
                    match answer.await.ok()? {
                        Ok(answer) => Reply::result(&Executed { answer }),
                        Err(refusal) => Reply::error(interface::REFUSED, &refused(refusal)),
                    }
                }
            },
            interface::EVENTS => match parameters::<EventsAfter>(call) {
                Err(reply) => reply,
                Ok(asked) => self.told.history.reply(asked.after),
            },
            interface::PROBES if self.uid != 0 => Reply::error(interface::PERMISSION_DENIED, &()),
            interface::PROBES => Reply::error(interface::EXPECTED_MORE, &()),
            interface::GET_INFO => Reply::result(&Info::of_this_version()),
            interface::GET_DESCRIPTION => match parameters::<DescriptionOf>(call) {
                Err(reply) => reply,
                Ok(of) => describe(&of.interface),
            },
            other => Reply::error(interface::METHOD_NOT_FOUND, &json!({ "method": other })),
        };
        Some(encoded(reply).map_err(Arc::new))
    }

    /// Tells what changes, or what becomes of probes, until the client is gone or too slow. An error is a
    /// reply, and the client stays.
    async fn follow(&mut self, call: Call) -> Result<(), Result<Reply, FrameError>> {
        let busy = || Reply::error(interface::BUSY, &());
        if call.method == interface::EVENTS {
            let asked = parameters::<EventsAfter>(call)?;
            let (events, news) = self.told.history.follow(asked.after).ok_or_else(busy)?;
            self.tell(Reply::result(&events), news, history::several)
                .await;
            return Ok(());
        }
        if self.uid != 0 {
            return Err(Reply::error(interface::PERMISSION_DENIED, &()));
        }
        let news = self.told.watchers.watch().ok_or_else(busy)?;
        let (sender, begun) = oneshot::channel();
        let request = Request::TellProbes(sender);
        // No answer comes from a loop that has ended, and then there is nothing to tell.
        if self.requests.send(request).await.is_ok() && begun.await.is_ok() {
            let first = Reply::result(&Probes { probes: Vec::new() });
            self.tell(first, news, watchers::several).await;
        }
        Ok(())
    }

    /// Tells `first` and then what comes.
    async fn tell<T: Clone>(
        &mut self,
        first: Result<Reply, FrameError>,
        mut news: broadcast::Receiver<T>,
        several: impl Fn(&[T]) -> Result<Reply, FrameError>,
    ) {
        let mut reply = first;
        loop {
            let more = reply.map(Reply::and_more);
            if self.write(encoded(more).map_err(Arc::new)).await.is_err() {
                return;
            }
            // What a follower sends is nothing we wait for; that it hangs up is.
            let mut chunk = [0; 64];
            let told = select! {
                told = news.recv() => told.map_err(|error| error.to_string()),
                count = self.stream.read(&mut chunk) => match count {
                    Ok(0) | Err(_) => return,
                    Ok(_) => Err("it talks while it is told".to_owned()),
                },
            };
            match told.and_then(|first| gather(first, &mut news)) {
                Ok(told) => reply = several(&told),
                Err(reason) => {
                    tracing::info!(
                        "client {:?} of user {} does not follow: {reason}",
                        self.pid,
                        self.uid
                    );
                    return;
                }
            }
        }
    }

    fn say_denied(&self) {
        let (uid, pid) = (self.uid, self.pid.unwrap_or_default());
        match self.denied.note(uid, Instant::now()) {
            None => {}
            Some(0) => tracing::error!("command from unprivileged user {uid}, process {pid}"),
            Some(more) => tracing::error!(
                "command from unprivileged user {uid}, process {pid}, and {more} more before"
            ),
        }
    }
}

/// Whether the method is answered again and again to those who want more.
fn is_stream(method: &str) -> bool {
    [interface::EVENTS, interface::PROBES].contains(&method)
}

/// What came first, and what else there is by now.
fn gather<T: Clone>(first: T, news: &mut broadcast::Receiver<T>) -> Result<Vec<T>, String> {
    let mut told = vec![first];
    while told.len() < TOGETHER {
        match news.try_recv() {
            Ok(more) => told.push(more),
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            Err(lagged @ TryRecvError::Lagged(_)) => return Err(lagged.to_string()),
        }
    }
    Ok(told)
}

fn refused(refusal: Refusal) -> impl Serialize {
    Refused {
        reason: refusal.to_string(),
        refusal,
    }
}

fn describe(name: &str) -> Result<Reply, FrameError> {
    let description = match name {
        interface::NAME => interface::DESCRIPTION,
        interface::SERVICE => interface::SERVICE_DESCRIPTION,
        _ => {
            let what = json!({ "interface": name });
            return Reply::error(interface::INTERFACE_NOT_FOUND, &what);
        }
    };
    Reply::result(&Description {
        description: description.to_owned(),
    })
}

fn parameters<T: for<'de> Deserialize<'de>>(call: Call) -> Result<T, Result<Reply, FrameError>> {
    serde_json::from_value(call.parameters.into()).map_err(|error| {
        let what = json!({ "parameter": error.to_string() });
        Reply::error(interface::INVALID_PARAMETER, &what)
    })
}

#[cfg(test)]
mod tests;
