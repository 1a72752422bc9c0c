//! A client of the routes under test.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Json;

/// How long anything that must happen may take.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone)]
pub struct Client {
    base: String,
    key: Option<String>,
    http: reqwest::Client,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
    pub body: Json,
}

impl Client {
    pub fn new(base: String) -> Self {
        Self { base, key: None, http: reqwest::Client::builder().no_proxy().timeout(PATIENCE * 2).build().unwrap() }
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// The same with an API key.
    pub fn with_key(&self, secret: &str) -> Self {
        Self { key: Some(secret.to_owned()), ..self.clone() }
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Reply {
        let mut request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let answer = request.body(body.into()).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Json::Null);
        Reply { status, headers, text, body }
    }

    /// A connection of its own.
    pub async fn open(&self) -> TcpStream {
        TcpStream::connect(self.base.strip_prefix("http://").unwrap()).await.unwrap()
    }

    /// Sends bytes as they are and answers what comes back until the end.
    pub async fn raw(&self, parts: &[&[u8]]) -> String {
        let mut stream = self.open().await;
        for part in parts {
            stream.write_all(part).await.unwrap();
        }
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        String::from_utf8(answer).unwrap()
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], "").await
    }

    pub async fn post(&self, path: &str, body: &Json) -> Reply {
        self.post_with(path, &[], body).await
    }

    pub async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Json) -> Reply {
        let headers: Vec<_> = headers.iter().copied().chain([("content-type", "application/json")]).collect();
        self.send("POST", path, &headers, body.to_string()).await
    }

    /// Posts an order and returns it.
    pub async fn order(&self, body: &Json) -> Json {
        let reply = self.post("/orders", body).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.body
    }

    /// Posts an order and returns its id.
    pub async fn order_id(&self, body: &Json) -> String {
        self.order(body).await["id"].as_str().unwrap().to_owned()
    }

    /// Does something to a saga.
    pub async fn act(&self, id: &str, verb: &str, body: &Json) -> Reply {
        self.post(&format!("/admin/sagas/{id}/{verb}"), body).await
    }

    /// The saga once it is at rest.
    pub async fn at_rest(&self, id: &str) -> Json {
        let reply = self.get(&format!("/sagas/{id}?wait=20s")).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert!(is_at_rest(&reply.body), "{}", reply.text);
        reply.body
    }

    /// The saga once `holds` of it. Asked for again at a pace: the server waits for rest alone.
    pub async fn until(&self, id: &str, holds: impl Fn(&Json) -> bool) -> Json {
        let until = Instant::now() + PATIENCE;
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        loop {
            pace.tick().await;
            let saga = self.get(&format!("/sagas/{id}")).await.body;
            if holds(&saga) {
                return saga;
            }
            assert!(Instant::now() < until, "it never came so far: {saga:#}");
        }
    }
}

pub fn is_at_rest(saga: &Json) -> bool {
    ["COMPLETED", "COMPENSATED", "RESOLVED", "STUCK", "PAUSED"].contains(&saga["status"].as_str().unwrap())
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Status and code of a refusal, after a look at all that every refusal has.
    #[track_caller]
    pub fn refusal(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text);
        for name in ["type", "title", "detail", "code", "instance"] {
            assert!(self.body[name].as_str().is_some_and(|text| !text.is_empty()), "{name} in {}", self.text);
        }
        assert_eq!(self.body["status"], self.status, "{}", self.text);
        (self.status, self.body["code"].as_str().unwrap().to_owned())
    }
}

/// Where something is wrong, and the code.
pub type Wrong = (&'static str, &'static str);

/// What a refusal says is wrong: where and the code, sorted.
pub fn codes(reply: &Reply) -> Vec<(String, String)> {
    let errors = reply.body["errors"].as_array().cloned().unwrap_or_default();
    let text = |value: &Json| value.as_str().map(str::to_owned);
    let place = |error: &Json| text(&error["pointer"]).or_else(|| text(&error["parameter"])).unwrap();
    let mut codes: Vec<_> = errors.iter().map(|error| (place(error), text(&error["code"]).unwrap())).collect();
    codes.sort();
    codes
}
