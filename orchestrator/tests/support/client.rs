//! A client of the HTTP API.

use std::time::Instant;

use super::process::PATIENCE;

pub type Json = serde_json::Value;

/// Talks to one instance.
#[derive(Clone)]
pub struct Client {
    pub base: String,
    pub key: Option<String>,
    http: reqwest::Client,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Json,
}

impl Client {
    pub fn new(base: impl Into<String>) -> Self {
        Self { base: base.into(), key: None, http: reqwest::Client::new() }
    }

    /// The same with an API key.
    pub fn with_key(&self, secret: &str) -> Self {
        Self { key: Some(secret.to_owned()), ..self.clone() }
    }

    /// Sends a request; no answer (refused, cut off) is an error.
    pub async fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Json>,
    ) -> Result<Reply, reqwest::Error> {
        let method = method.parse().unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Json::String(text));
        Ok(Reply { status, headers, body })
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.try_send("GET", path, &[], None).await.unwrap()
    }

    pub async fn post(&self, path: &str, body: &Json) -> Reply {
        self.try_send("POST", path, &[], Some(body)).await.unwrap()
    }

    /// Waits until the process says that it is `status`, and returns all that it says.
    pub async fn ready_as(&self, status: &str) -> Json {
        let until = Instant::now() + PATIENCE;
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(50));
        loop {
            pace.tick().await;
            match self.try_send("GET", "/readyz", &[], None).await {
                Ok(reply) if reply.body["status"] == status => return reply.body,
                other => assert!(Instant::now() < until, "the process is not {status}: {other:?}"),
            }
        }
    }

    /// Posts an order and returns it.
    pub async fn order(&self, body: &Json) -> Json {
        let reply = self.post("/orders", body).await;
        assert_eq!(reply.status, 200, "{:?}", reply.body);
        reply.body
    }

    /// Waits until the saga is at rest and returns it.
    pub async fn at_rest(&self, id: &str) -> Json {
        self.until(id, |saga| {
            ["COMPLETED", "COMPENSATED", "RESOLVED", "STUCK", "PAUSED"].contains(&saga["status"].as_str().unwrap())
        })
        .await
    }

    /// Waits until `holds` of the saga, and returns it.
    pub async fn until(&self, id: &str, holds: impl Fn(&Json) -> bool) -> Json {
        let until = Instant::now() + PATIENCE;
        // The server waits only for rest; another condition is asked for again, at this pace.
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(30));
        loop {
            pace.tick().await;
            let answer = self.try_send("GET", &format!("/sagas/{id}?wait=1s"), &[], None).await;
            match answer {
                Ok(reply) if reply.status == 200 && holds(&reply.body) => return reply.body,
                other => assert!(Instant::now() < until, "saga {id} never came so far: {other:#?}"),
            }
        }
    }

    /// The types of a saga's history, with steps.
    pub async fn history(&self, id: &str) -> Vec<Json> {
        let reply = self.get(&format!("/sagas/{id}/history")).await;
        assert_eq!(reply.status, 200);
        reply.body["events"].as_array().unwrap().clone()
    }
}
