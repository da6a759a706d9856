//! Taking connections, so many at a time, and no longer than need be.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::answer::answer;
use crate::scrape::Scrape;

/// Connections at a time. One Prometheus has one.
pub(crate) const CONNECTIONS: usize = 32;

/// How long the head of a request may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// How long a connection may take, answer and all.
pub(crate) const LIFETIME: Duration = Duration::from_secs(10);

/// Bytes of a request that are kept; the least that hyper takes.
const BUFFER: usize = 8192;

/// Headers a request may have.
const HEADERS: usize = 64;

/// How long a full process waits before it accepts again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener, scrape: Scrape) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // Nobody closes the semaphore.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                crate::say(&format!("cannot accept a connection: {error}"));
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let scrape = scrape.clone();
        tokio::spawn(async move {
            let _place = place;
            // Whoever is too slow, or speaks no HTTP, is hung up on.
            let _ = timeout(LIFETIME, converse(stream, scrape)).await;
        });
    }
}

/// Takes one request and answers it.
async fn converse(stream: TcpStream, scrape: Scrape) -> Result<(), hyper::Error> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .keep_alive(false)
        .max_buf_size(BUFFER)
        .max_headers(HEADERS)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| answer(request, scrape.clone())),
        )
        .await
}
