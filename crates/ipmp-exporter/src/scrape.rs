//! Asking the daemon.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipmp_api::{CallError, Client};
use ipmp_core::Snapshot;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long a scrape may take, the waiting for others included: Prometheus waits 10 s unless it is
/// told otherwise, and the daemon takes milliseconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// How many questions are put to the daemon at a time. It has places for other clients too.
const AT_ONCE: usize = 1;

/// Threads that wait for its answers.
pub(crate) const THREADS: usize = AT_ONCE;

/// Where to ask.
#[derive(Clone, Debug)]
pub(crate) struct Scrape {
    socket: PathBuf,
    turns: Arc<Semaphore>,
}

impl Scrape {
    /// The daemon with this control socket.
    pub(crate) fn of(socket: PathBuf) -> Self {
        Self {
            socket,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// What the metrics are now, as text. That no daemon runs, or that it does not answer, is a metric
    /// too; an error is that it answered and has nothing to show.
    pub(crate) async fn text(&self) -> Result<String, String> {
        let seen = timeout(PATIENCE, self.seen()).await.unwrap_or(Ok(None))?;
        ipmp_tools::metrics::text(seen.as_ref()).map_err(|error| error.to_string())
    }

    async fn seen(&self) -> Result<Option<Snapshot>, String> {
        // The turn is over when the daemon has answered, even if nobody waits for it any more.
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|error| error.to_string())?;
        let socket = self.socket.clone();
        let asked = spawn_blocking(move || {
            let _turn = turn;
            let mut client = Client::connect_to(&socket)?;
            client.set_patience(PATIENCE)?;
            client.snapshot()
        });
        match asked.await.map_err(|error| error.to_string())? {
            Ok(snapshot) => Ok(Some(snapshot)),
            Err(CallError::NotRunning | CallError::Timeout | CallError::Closed) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }
}
