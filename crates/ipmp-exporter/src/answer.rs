//! What is answered to a request.

use std::convert::Infallible;

use http_body_util::Full;
use hyper::body::{Body, Bytes};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use ipmp_tools::metrics;

use crate::scrape::Scrape;

const PLAIN: &str = "text/plain; charset=utf-8";

/// Answers a request. Its body, if it has one, is not read.
pub(crate) async fn answer<B: Body>(
    request: Request<B>,
    scrape: Scrape,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let known = matches!(request.uri().path(), "/" | "/metrics");
    Ok(match (request.method(), request.uri().path()) {
        _ if !known => response(StatusCode::NOT_FOUND, PLAIN, "there is only /metrics\n"),
        (&Method::GET, "/metrics") => match scrape.text().await {
            Ok(text) => response(StatusCode::OK, metrics::CONTENT_TYPE, text),
            Err(reason) => {
                let reason = format!("{reason}\n");
                response(StatusCode::SERVICE_UNAVAILABLE, PLAIN, reason)
            }
        },
        (&Method::GET, _) => response(StatusCode::OK, PLAIN, "metrics are at /metrics\n"),
        _ => {
            let mut refused = response(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET\n");
            let headers = refused.headers_mut();
            headers.insert(ALLOW, HeaderValue::from_static("GET"));
            refused
        }
    })
}

fn response(
    status: StatusCode,
    content_type: &'static str,
    text: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
