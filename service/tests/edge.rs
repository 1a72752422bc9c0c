//! The edge and the door, over real HTTP: what every refusal looks like, and who gets in.

mod common;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::routing::{get, post};
use common::Server;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use service::http::{JsonBody, PathId, Query, edge, idempotency_key, if_match, refusal};
use service::keys::{ApiKeys, Caller, guard, is_keyless};
use service::metrics::Metrics;
use service::problem::{Code, Problem};

fn routes() -> Router {
    Router::new()
        .route("/orders", get(list).post(submit))
        .route("/orders/{id}", get(async |PathId(id): PathId| id.to_string()))
        .route("/numbers/{n}", get(async |Path(n): Path<u32>| n.to_string()))
        .route("/panic", get(panic))
        .route("/busy", post(async || Problem::new(Code::Overloaded, "The backlog is full").retry_after(7)))
        .route("/admin/verbs", post(async |caller: Caller| caller.actor()))
        .route("/own", get(async || (StatusCode::SERVICE_UNAVAILABLE, axum::Json(json!({"status": "not ready"})))))
}

async fn list(request: Request) -> Result<String, Problem> {
    let mut query = Query::of(request.uri());
    let user = query.required_uuid("userId");
    let size = query.number("size", 1..=100u32);
    query.finish(|| Some(format!("{} {}", user?, size.unwrap_or(10))))
}

async fn submit(headers: HeaderMap, caller: Caller, body: JsonBody) -> Result<String, Problem> {
    let key = idempotency_key(&headers)?;
    if_match(&headers)?;
    body.parse()?;
    Ok(format!("{} {key:?} {}", caller.actor(), body.0.len()))
}

async fn panic() {
    panic!("on purpose");
}

async fn server(open: &str) -> (Server, Metrics) {
    let metrics = Metrics::new();
    let keys = ApiKeys::new("ops:s1:admin,shop:s2:submit".parse().unwrap(), open.parse().unwrap());
    let routes = guard(routes().merge(metrics.routes()), Arc::new(keys), is_keyless);
    (Server::start(edge(routes, metrics.http())).await, metrics)
}

/// The document of a refusal, which must have all that each has.
async fn problem(response: Response, status: u16, code: &str) -> Value {
    assert_eq!(response.status().as_u16(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let path = response.url().path().to_owned();
    let document: Value = response.json().await.unwrap();
    assert_eq!((&document["code"], &document["status"]), (&code.into(), &status.into()), "{document}");
    assert_eq!(document["instance"], path);
    let kebab = code.to_lowercase().replace('_', "-");
    assert_eq!(document["type"], format!("urn:saga:problem:{kebab}"));
    assert!(document["title"].is_string() && document["detail"].is_string());
    document
}

#[tokio::test]
async fn what_the_router_refuses_is_a_problem() {
    let (server, _) = server("submit,read").await;
    let client = Client::new();
    problem(client.get(server.url("/nowhere/%20x?y=1")).send().await.unwrap(), 404, "NOT_FOUND").await;

    let response = client.delete(server.url("/orders")).send().await.unwrap();
    assert_eq!(response.headers()["allow"], "GET,HEAD,POST");
    problem(response, 405, "METHOD_NOT_ALLOWED").await;

    let long = format!("/orders?userId={}", "x".repeat(8 * 1024));
    problem(client.get(server.url(&long)).send().await.unwrap(), 414, "URI_TOO_LONG").await;

    let document = problem(client.get(server.url("/panic")).send().await.unwrap(), 500, "INTERNAL_ERROR").await;
    assert!(!document.to_string().contains("on purpose"), "what went wrong inside is not told: {document}");

    let document = problem(client.get(server.url("/orders/1")).send().await.unwrap(), 400, "INVALID_PARAMETER").await;
    assert_eq!(document["errors"][0]["parameter"], "id");
    assert_eq!(document["errors"][0]["code"], "INVALID_UUID");
    problem(client.get(server.url("/numbers/one")).send().await.unwrap(), 400, "INVALID_PARAMETER").await;
    problem(client.get(server.url("/orders/%ff")).send().await.unwrap(), 400, "INVALID_PARAMETER").await;

    let head = client.head(server.url("/nowhere")).send().await.unwrap();
    assert_eq!((head.status().as_u16(), head.text().await.unwrap().as_str()), (404, ""));

    let own = client.get(server.url("/own")).send().await.unwrap();
    assert_eq!(own.headers()["content-type"], "application/json", "a document of its own stays");
}

#[tokio::test]
async fn queries_are_checked_as_a_whole() {
    let (server, _) = server("submit,read").await;
    let response = Client::new().get(server.url("/orders?size=0&colour=red")).send().await.unwrap();
    let document = problem(response, 400, "INVALID_PARAMETER").await;
    let wrong: Vec<_> = document["errors"].as_array().unwrap().iter().map(|error| &error["parameter"]).collect();
    assert_eq!(wrong, ["userId", "size", "colour"]);
    let id = "AAAAAAAA-aaaa-aaaa-aaaa-aaaaaaaaaaaa";
    let response = Client::new().get(server.url(&format!("/orders?userId={id}"))).send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), format!("{} 10", id.to_lowercase()));
}

#[tokio::test]
async fn bodies_are_plain_json_of_a_bounded_size() {
    let (server, _) = server("submit,read").await;
    let client = Client::new();
    let post = |kind: &'static str, body: Vec<u8>| {
        client.post(server.url("/orders")).header("content-type", kind).body(body).send()
    };
    let padded = |size: usize| format!("{{{}}}", " ".repeat(size - 2)).into_bytes();

    let fits = post("application/json; charset=UTF-8", padded(65_536)).await.unwrap();
    assert_eq!(fits.text().await.unwrap(), "key:anonymous None 65536");
    problem(post("application/json", padded(65_537)).await.unwrap(), 413, "PAYLOAD_TOO_LARGE").await;
    problem(post("application/json", padded(3_000_000)).await.unwrap(), 413, "PAYLOAD_TOO_LARGE").await;
    problem(post("text/plain", padded(2)).await.unwrap(), 415, "UNSUPPORTED_MEDIA_TYPE").await;
    problem(post("application/json; charset=latin1", padded(2)).await.unwrap(), 415, "UNSUPPORTED_MEDIA_TYPE").await;
    let none = client.post(server.url("/orders")).body("{}").send().await.unwrap();
    problem(none, 415, "UNSUPPORTED_MEDIA_TYPE").await;
    for coding in ["gzip", "identity"] {
        let coded = client.post(server.url("/orders")).header("content-type", "application/json");
        let coded = coded.header("content-encoding", coding).body("{}").send().await.unwrap();
        problem(coded, 415, "UNSUPPORTED_MEDIA_TYPE").await;
    }
    let deep = ["[".repeat(33), "]".repeat(33)].concat();
    for malformed in [&b""[..], b"{", b"{} {}", b"{\"a\": \"\xff\"}", b"{\"a\": \"\\ud800\"}", deep.as_bytes()] {
        problem(post("application/json", malformed.to_vec()).await.unwrap(), 400, "MALFORMED_JSON").await;
    }
}

#[tokio::test]
async fn a_body_without_a_length_is_bounded_too() {
    let (server, _) = server("submit,read").await;
    let head = "POST /orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                transfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let chunk = |size: usize| format!("{size:x}\r\n{}\r\n", " ".repeat(size));
    let small = server.raw(format!("{head}2\r\n{{}}\r\n{}0\r\n\r\n", chunk(65_534)).as_bytes()).await;
    assert!(small.starts_with("HTTP/1.1 200"), "{small}");
    let large = server.raw(format!("{head}2\r\n{{}}\r\n{}0\r\n\r\n", chunk(65_535)).as_bytes()).await;
    assert!(large.starts_with("HTTP/1.1 413") && large.contains("PAYLOAD_TOO_LARGE"), "{large}");
    let broken = server.raw(format!("{head}nonsense\r\n").as_bytes()).await;
    assert!(broken.starts_with("HTTP/1.1 400") && broken.contains("MALFORMED_JSON"), "{broken}");
}

#[tokio::test]
async fn headers_count_once() {
    let (server, _) = server("submit,read").await;
    let client = Client::new();
    let post = || client.post(server.url("/orders")).header("content-type", "application/json").body("{}");
    let response = post().header("idempotency-key", "k-1").send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), "key:anonymous Some(\"k-1\") 2");
    for (name, value, parameter) in [
        ("idempotency-key", "k", "Idempotency-Key"),
        ("if-match", "\"1\"", "If-Match"),
        ("authorization", "Bearer s1", "Authorization"),
    ] {
        let twice = post().header(name, value).header(name, value).send().await.unwrap();
        let document = problem(twice, 400, "INVALID_PARAMETER").await;
        assert_eq!(document["errors"][0]["parameter"], parameter);
    }
}

#[tokio::test]
async fn keys_open_what_is_theirs() {
    let (server, _) = server("read").await;
    let client = Client::new();
    let ask = async |method: &str, path: &str, secret: Option<&str>| {
        let request = client.request(method.parse().unwrap(), server.url(path));
        let request = request.header("content-type", "application/json").body("{}");
        let request = match secret {
            Some(secret) => request.bearer_auth(secret),
            None => request,
        };
        request.send().await.unwrap()
    };
    for (method, path, secret, status) in [
        ("POST", "/orders", Some("s2"), 200),
        ("POST", "/orders", Some("s1"), 200),
        ("POST", "/orders", None, 401),
        ("POST", "/orders", Some("s3"), 401),
        ("POST", "/admin/verbs", None, 401),
        ("POST", "/admin/verbs", Some("s2"), 403),
        ("POST", "/admin/verbs", Some("s1"), 200),
        ("GET", "/admin/verbs", Some("s1"), 405),
        ("GET", "/orders/1", Some("s3"), 401),
        ("GET", "/nowhere", Some("s3"), 401),
        ("GET", "/nowhere", None, 404),
        ("GET", "/admin/nowhere", None, 401),
        ("GET", "/metrics", Some("s3"), 200),
        ("GET", "/metrics", None, 200),
    ] {
        let response = ask(method, path, secret).await;
        assert_eq!(response.status().as_u16(), status, "{method} {path} {secret:?}");
        match status {
            401 => {
                assert_eq!(response.headers()["www-authenticate"], "Bearer");
                problem(response, 401, "UNAUTHENTICATED").await;
            }
            403 => drop(problem(response, 403, "FORBIDDEN").await),
            _ => assert!(!response.headers().contains_key("www-authenticate")),
        }
    }
    assert_eq!(ask("POST", "/admin/verbs", Some("s1")).await.text().await.unwrap(), "key:ops");
}

#[tokio::test]
async fn an_audit_around_the_door_sees_who_was_refused_and_why() {
    let keys = Arc::new(ApiKeys::new("shop:s2:submit".parse().unwrap(), "".parse().unwrap()));
    let (noted, mut notes) = tokio::sync::mpsc::unbounded_channel();
    let audit = move |request: Request, next: Next| {
        let noted = noted.clone();
        async move {
            let response = next.run(request).await;
            noted.send(refusal(&response).map(|problem| problem.code())).unwrap();
            response
        }
    };
    let routes = guard(routes(), keys, is_keyless).layer(from_fn(audit));
    let server = Server::start(edge(routes, Metrics::new().http())).await;
    for (path, secret, code) in [
        ("/admin/verbs", "s2", Code::Forbidden),
        ("/admin/verbs", "s3", Code::Unauthenticated),
        ("/nowhere", "s2", Code::NotFound),
    ] {
        Client::new().post(server.url(path)).bearer_auth(secret).send().await.unwrap();
        assert_eq!(notes.recv().await.unwrap(), Some(code), "{path} {secret}");
    }
}

#[tokio::test]
async fn a_refusal_says_when_to_try_again() {
    let (server, _) = server("submit,read").await;
    let response = Client::new().post(server.url("/busy")).send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "7");
    problem(response, 503, "OVERLOADED").await;
}

/// Many clients write all that they have to say before they read: an answer that comes before must wait for them.
#[tokio::test]
async fn a_refusal_is_read_even_if_the_body_is_still_coming() {
    let (server, _) = server("").await;
    // More than the sockets on both sides hold.
    let size = 30_000_000;
    let head = format!("POST /orders HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\nconnection: close\r\n\r\n");
    for _ in 0..3 {
        let answer = server.raw(&[head.as_bytes(), &vec![b' '; size]].concat()).await;
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("UNAUTHENTICATED"), "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_expects_a_go_ahead_is_refused_without_its_body() {
    let (server, _) = server("").await;
    let head = "POST /orders HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\nexpect: 100-continue\r\n\r\n";
    let answer = server.raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}

/// What is no request at all is answered below our routes, and with a document all the same.
#[tokio::test]
async fn what_cannot_be_read_as_a_request_is_a_problem_too() {
    let (server, _) = server("submit,read").await;
    let get = |path: &str, headers: &str| format!("GET {path} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n");
    let long = |bytes: usize| "x".repeat(bytes);
    for (request, status, code) in [
        ("nonsense\r\n\r\n".to_owned(), 400, "INVALID_PARAMETER"),
        (get("/a b", ""), 400, "INVALID_PARAMETER"),
        (get("/orders", "no colon\r\n"), 400, "INVALID_PARAMETER"),
        (get("/orders", "content-length: 1\r\ncontent-length: 2\r\n"), 400, "INVALID_PARAMETER"),
        (get("/orders", "content-length: -1\r\n"), 400, "INVALID_PARAMETER"),
        (get("/orders", "a: b\r\n").replace("1.1", "3.7"), 400, "INVALID_PARAMETER"),
        (get("/orders", &"a: b\r\n".repeat(100)), 431, "HEADERS_TOO_LARGE"),
        (get("/orders", &format!("a: {}\r\n", long(70_000))), 431, "HEADERS_TOO_LARGE"),
        (get("/orders", &format!("a: {}\r\n", long(5_000_000))), 431, "HEADERS_TOO_LARGE"),
        (get(&format!("/orders?userId={}", long(8 * 1024)), ""), 414, "URI_TOO_LONG"),
        (get(&format!("/orders?userId={}", long(64_000)), ""), 414, "URI_TOO_LONG"),
        (get(&format!("/{}", long(65_600)), ""), 414, "URI_TOO_LONG"),
        (get(&format!("/{}", long(5_000_000)), ""), 414, "URI_TOO_LONG"),
    ] {
        let shown = &request[..request.len().min(80)];
        // Also where a request that could be read came before, on the same connection.
        for before in
            ["", "GET /orders/x HTTP/1.1\r\nhost: x\r\n\r\n"].iter().take(if request.len() < 9_000 { 2 } else { 1 })
        {
            let answers = server.raw(format!("{before}{request}").as_bytes()).await;
            let answer = &answers[answers.rfind("HTTP/1.1 ").unwrap()..];
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{shown}: {answer}");
            assert!(head.contains("content-type: application/problem+json\r\n"), "{shown}: {answer}");
            let document: Value = serde_json::from_str(body).unwrap();
            assert_eq!((&document["code"], &document["status"]), (&code.into(), &status.into()), "{shown}: {answer}");
            for member in ["type", "title", "detail", "instance"] {
                assert!(document[member].as_str().is_some_and(|text| !text.is_empty()), "{shown}: {answer}");
            }
        }
    }
    let endless = get("/orders", &format!("content-length: {}\r\n", u64::MAX));
    assert!(server.raw(endless.as_bytes()).await.contains("PAYLOAD_TOO_LARGE"));
    // As many headers and as long as may be.
    let most = get("/orders/x", &format!("{}a: {}\r\n", "a: b\r\n".repeat(98), long(60_000)));
    let answer = server.raw(most.as_bytes()).await;
    assert!(answer.contains("INVALID_UUID"), "{answer}");
}

#[tokio::test]
async fn requests_are_counted_by_route() {
    let (server, _) = server("submit,read").await;
    let client = Client::new();
    for path in ["/orders/1", "/orders/2", "/nowhere", "/elsewhere", "/panic"] {
        client.get(server.url(path)).send().await.unwrap();
    }
    client.request("BREW".parse().unwrap(), server.url("/orders")).send().await.unwrap();
    let metrics = client.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
    for line in [
        "http_requests_total{route=\"/orders/{id}\",method=\"GET\",status=\"400\"} 2",
        "http_requests_total{route=\"unmatched\",method=\"GET\",status=\"404\"} 2",
        "http_requests_total{route=\"/panic\",method=\"GET\",status=\"500\"} 1",
        "http_requests_total{route=\"/orders\",method=\"other\",status=\"405\"} 1",
        "http_request_duration_seconds_count{route=\"/orders/{id}\",method=\"GET\"} 2",
    ] {
        assert!(metrics.lines().any(|has| has == line), "{line} is not in:\n{metrics}");
    }
}
