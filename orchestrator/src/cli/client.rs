//! Requests to the HTTP API.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde::Serialize;
use service::exit::Stop;

use super::args::Server;

/// How long an answer may take, beyond what the request itself asks to wait.
const PATIENCE: Duration = Duration::from_secs(30);
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// A client of one orchestrator.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<HeaderValue>,
}

/// A request.
#[derive(Debug)]
pub struct Request {
    method: Method,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
    patience: Duration,
}

/// An answer, whole.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub is_json: bool,
    pub body: String,
}

impl Reply {
    pub fn is_success(&self) -> bool {
        self.status.is_success()
    }
}

impl Request {
    pub fn get(path: &[&str]) -> Self {
        Self {
            method: Method::GET,
            path: path.iter().map(|&part| part.to_owned()).collect(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            patience: PATIENCE,
        }
    }

    /// # Errors
    /// If the body cannot be written as JSON.
    pub fn post(path: &[&str], body: &impl Serialize) -> Result<Self, Stop> {
        let body = serde_json::to_vec(body).map_err(|error| Stop::Failed(format!("cannot write the body: {error}")))?;
        Ok(Self { method: Method::POST, body: Some(body), ..Self::get(path) })
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// A parameter, if it has a value.
    pub fn query(mut self, name: &'static str, value: Option<String>) -> Self {
        self.query.extend(value.map(|value| (name, value)));
        self
    }

    /// Asks the orchestrator to hold the answer until the saga is at rest, or for so many seconds.
    pub fn wait(self, seconds: u64) -> Self {
        let patience = PATIENCE + Duration::from_secs(seconds);
        Self { patience, ..self.query("wait", Some(format!("{seconds}s"))) }
    }
}

impl Client {
    /// # Errors
    /// Wrong usage: the URL or the key cannot be one.
    pub fn new(server: &Server) -> Result<Self, Stop> {
        let base = base(&server.saga_url)?;
        let key = server.saga_api_key.as_deref().filter(|key| !key.is_empty()).map(bearer).transpose()?;
        let mut http = reqwest::Client::builder().connect_timeout(CONNECT_PATIENCE);
        if is_loopback(&base) {
            // A proxy's own loopback is another machine.
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| Stop::Failed(format!("cannot make an HTTP client: {error}")))?;
        Ok(Self { http, base, key })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// If no answer came; a refusal is an answer.
    pub async fn ask(&self, request: Request) -> Result<Reply, Stop> {
        let mut url = self.base.clone();
        // A base that was checked takes segments; they are escaped here.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(&request.path);
        }
        for (name, value) in &request.query {
            url.query_pairs_mut().append_pair(name, value);
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            let value = HeaderValue::from_str(value).map_err(|_| {
                Stop::Usage(format!("{value:?} cannot be sent as {name}: use visible ASCII characters"))
            })?;
            headers.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|error| self.failed(&error))?, value);
        }
        if let Some(key) = &self.key {
            headers.insert(AUTHORIZATION, key.clone());
        }
        let mut sent = self.http.request(request.method, url).timeout(request.patience);
        if let Some(body) = request.body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            sent = sent.body(body);
        }
        let answer = sent.headers(headers).send().await.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let is_json = kind == "application/json" || kind.ends_with("+json");
        let body = answer.text().await.map_err(|error| self.unreachable(&error))?;
        Ok(Reply { status, is_json, body })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Stop {
        let base = &self.base;
        Stop::Failed(if error.is_timeout() {
            format!(
                "{base} did not answer in time; the request may have been done all the same: look before you repeat it"
            )
        } else if error.is_connect() {
            format!(
                "cannot reach {base} ({}); is `saga serve` or `saga dev` running there? SAGA_URL says where to look",
                root(error)
            )
        } else {
            format!("{base} broke off its answer ({}); look before you repeat the request", root(error))
        })
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> Stop {
        Stop::Failed(format!("cannot ask {}: {error}", self.base))
    }
}

/// What is at the bottom of an error: the layers above only repeat that a request failed.
fn root(error: &reqwest::Error) -> String {
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn base(text: &str) -> Result<Url, Stop> {
    let advice = "write SAGA_URL as http://host:port, such as http://127.0.0.1:8081";
    let url = Url::parse(text).map_err(|error| Stop::Usage(format!("{text:?} is no URL ({error}); {advice}")))?;
    match url.scheme() {
        "http" if url.has_host() => Ok(url),
        "https" => Err(Stop::Usage(
            "this client does not speak https: reach the orchestrator over http, through a tunnel if it is far"
                .to_owned(),
        )),
        _ => Err(Stop::Usage(format!("{text:?} is not where an orchestrator can be; {advice}"))),
    }
}

fn bearer(key: &str) -> Result<HeaderValue, Stop> {
    let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
        .map_err(|_| Stop::Usage("SAGA_API_KEY holds what no key can: a key is visible ASCII characters".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}
