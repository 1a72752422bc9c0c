//! `saga dev`: one process, no outside service, and it survives kill -9.

mod support;

use std::collections::BTreeMap;

use serde_json::json;
use support::{Client, PATIENCE, Process, binary_path, free_address, orders_survive};

/// A `saga dev` on its own directory and address.
struct Dev {
    home: tempfile::TempDir,
    address: String,
    process: Process,
}

impl Dev {
    fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_by(&[], settings)
    }

    /// Started by another program, which is given what to start.
    fn start_by(starter: &[&str], settings: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let address = free_address();
        let process = Self::launch(starter, &home, &address, settings);
        Self { home, address, process }
    }

    fn launch(starter: &[&str], home: &tempfile::TempDir, address: &str, settings: &[(&str, &str)]) -> Process {
        let mut env: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in
            [("STEP_TIMEOUT", "300ms"), ("RETRY_BASE", "20ms"), ("RETRY_CAP", "100ms"), ("LOG_FORMAT", "json")]
        {
            env.insert(name.to_owned(), value.to_owned());
        }
        env.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let (binary, data) = (binary_path("saga"), home.path().join("data"));
        let own = [&*binary, "dev", "--data-dir", data.to_str().unwrap(), "--http-addr", address];
        let all: Vec<&str> = starter.iter().copied().chain(own).collect();
        let process = Process::start("saga dev", all[0], &all[1..], &env);
        process.wait_for(&["saga dev is ready"]);
        process
    }

    fn client(&self) -> Client {
        Client::new(format!("http://{}", self.address))
    }

    fn admin_key(&self) -> String {
        self.process.wait_for(&["admin key "]).trim().trim_start_matches("admin key ").to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_survive_kills_of_the_one_process() {
    let settings = [("INVENTORY_DEFAULT_STOCK", "1000")];
    let mut dev = Dev::start(&settings);
    let (clients, books) = ([dev.client()], dev.client());
    let key = dev.admin_key();
    let killer = async {
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(20));
        for kill in 1..=6_u64 {
            // The next one falls when so many orders have been taken in since the last.
            loop {
                pace.tick().await;
                let path = "/orders?userId=11111111-1111-1111-1111-111111111111&size=1";
                let reply = clients[0].try_send("GET", path, &[], None).await;
                if reply.is_ok_and(|reply| reply.body["totalElements"].as_u64() >= Some(kill * 12)) {
                    break;
                }
            }
            dev.process.kill();
            dev.process = Dev::launch(&[], &dev.home, &dev.address, &settings);
            assert_eq!(dev.admin_key(), key, "the admin key is kept");
        }
    };
    orders_survive(&clients, &books, 100, killer).await;
    let data = dev.home.path().join("data");
    let args = ["audit", "--data-dir", data.to_str().unwrap()];
    let mut audit = Process::start("saga audit", &binary_path("saga"), &args, &BTreeMap::new());
    assert_eq!(audit.wait(), 0, "{}", audit.output());
}

/// A disk that is full after a megabyte: no file gets larger. (Without the trap the system would end the process.)
const SMALL_DISK: [&str; 3] = ["sh", "-c", "trap '' XFSZ; ulimit -S -f 2048; exec \"$0\" \"$@\""];

/// Waits until the process says that its database takes no writes.
async fn no_more_room(client: &Client) {
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(20));
    for _ in 0..3_000 {
        pace.tick().await;
        let ready = client.get("/readyz").await;
        let store = &ready.body["dependencies"]["store"];
        if store["detail"].as_str().unwrap().contains("the last write failed") {
            assert_eq!((ready.status, &store["status"]), (503, &json!("down")));
            return;
        }
    }
    panic!("the disk never was full");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_survive_a_full_disk_and_a_kill() {
    let settings = [("INVENTORY_DEFAULT_STOCK", "1000")];
    let mut dev = Dev::start_by(&SMALL_DISK, &settings);
    let (clients, books) = ([dev.client()], dev.client());
    let killer = async {
        no_more_room(&books).await;
        let mut promised = Vec::new();
        for _ in 0..3 {
            let body = json!({"userId": "22222222-2222-2222-2222-222222222222", "amount": 5,
                "items": {"dddddddd-dddd-dddd-dddd-dddddddddddd": 1}, "paymentMethod": "pm_approve"});
            let replies = futures::future::join_all((0..20).map(|_| books.post("/orders", &body))).await;
            for reply in replies {
                match reply.status {
                    200 => promised.push(reply.body["id"].as_str().unwrap().to_owned()),
                    status => assert_eq!((status, &reply.body["code"]), (503, &json!("UNAVAILABLE")), "{reply:?}"),
                }
            }
        }
        dev.process.kill();
        dev.process = Dev::launch(&[], &dev.home, &dev.address, &settings);
        for id in promised {
            assert_eq!(books.at_rest(&id).await["status"], "COMPLETED");
        }
    };
    orders_survive(&clients, &books, 200, killer).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_go_on_when_a_full_disk_has_room_again() {
    let dev = Dev::start_by(&SMALL_DISK, &[("INVENTORY_DEFAULT_STOCK", "1000")]);
    let (clients, books) = ([dev.client()], dev.client());
    let room = async {
        no_more_room(&books).await;
        let args = ["--pid", &dev.process.pid().to_string(), "--fsize=unlimited"];
        assert!(std::process::Command::new("prlimit").args(args).status().unwrap().success());
    };
    let going_on = orders_survive(&clients, &books, 200, room);
    tokio::time::timeout(2 * PATIENCE, going_on).await.expect("orders go on by themselves");
    assert_eq!(books.get("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_one_on_the_same_data_is_refused() {
    let dev = Dev::start(&[]);
    let data = dev.home.path().join("data");
    let args = ["dev", "--data-dir", data.to_str().unwrap(), "--http-addr", "127.0.0.1:0"];
    let mut second = Process::start("second", &binary_path("saga"), &args, &BTreeMap::new());
    assert_eq!(second.wait(), 1);
    second.wait_for(&["another saga dev is using it"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_at_the_one_address() {
    let mut dev = Dev::start(&[("SAGA_API_KEYS", "mine:my-secret:read")]);
    let client = dev.client();
    let ready = client.get("/readyz").await;
    assert_eq!(ready.status, 200);
    for name in ["store", "shards"] {
        assert_eq!(ready.body["dependencies"][name]["status"], "up", "{:?}", ready.body);
    }
    let sku = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";
    let admin = client.with_key(&dev.admin_key());
    let stock = json!({"onHand": 7, "reason": "delivery"});
    let stocked = admin.try_send("PUT", &format!("/admin/inventory/{sku}"), &[], Some(&stock)).await;
    assert_eq!(stocked.unwrap().status, 200);
    let entry = admin.get("/admin/audit").await.body["entries"][0].clone();
    assert_eq!((&entry["action"], &entry["actor"]), (&json!("set-stock"), &json!("key:dev")), "{entry}");
    assert_eq!(admin.get("/admin/dead-letters").await.body["total"], 0);
    let body = json!({"userId": "11111111-1111-1111-1111-111111111111", "amount": 5, "items": {sku: 3}, "paymentMethod": "pm_decline"});
    let id = client.order(&body).await["id"].as_str().unwrap().to_owned();
    assert_eq!(client.at_rest(&id).await["status"], "COMPENSATED");
    let stock = client.get(&format!("/inventory/{sku}")).await.body;
    assert_eq!((&stock["onHand"], &stock["available"]), (&json!(7), &json!(7)), "{stock}");
    assert_eq!(client.get(&format!("/notifications?orderId={id}")).await.body["entries"][0]["outcome"], "CANCELLED");
    assert_eq!(client.with_key("my-secret").get("/definitions").await.status, 200);
    assert_eq!(client.with_key("unknown").get("/definitions").await.status, 401);
    assert_eq!(dev.process.terminate(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_sigterm_new_connections_hear_that_it_is_not_ready() {
    let mut dev = Dev::start(&[("SHUTDOWN_GRACE", "4s")]);
    let id = dev.client().order(&order()).await["id"].as_str().unwrap().to_owned();
    dev.process.signal("TERM");
    // Each of these is a client of its own, and a connection of its own.
    while dev.client().get("/readyz").await.status != 503 {
        tokio::task::yield_now().await;
    }
    assert_eq!(dev.client().get("/livez").await.status, 200);
    assert_eq!(dev.client().get(&format!("/orders/{id}")).await.status, 200);
    let refused = dev.client().try_send("POST", "/orders", &[], Some(&order())).await.unwrap();
    assert_eq!((refused.status, &refused.body["code"]), (503, &json!("NOT_READY")));
    assert_eq!(dev.process.wait(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_ends_it_and_settings_that_do_not_go_together_are_refused() {
    let mut dev = Dev::start(&[]);
    dev.process.signal("INT");
    assert_eq!(dev.process.wait(), 0);

    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let args = ["dev", "--data-dir", data.to_str().unwrap(), "--retry-base", "3s", "--retry-cap", "2s"];
    let mut refused = Process::start("refused", &binary_path("saga"), &args, &BTreeMap::new());
    assert_eq!(refused.wait(), 2);
    refused.wait_for(&["RETRY_BASE is 3s and RETRY_CAP 2s"]);
    assert!(!data.exists(), "nothing was made");
}

fn order() -> serde_json::Value {
    json!({"userId": "11111111-1111-1111-1111-111111111111", "amount": 5,
        "items": {"aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa": 1}})
}

/// A `saga dev` that keeps nothing, with its temporary folders in `home`. The environment may say where data is kept; a
/// flag says that this time none is.
fn ephemeral(home: &tempfile::TempDir) -> Process {
    let (data, temporary) = (home.path().join("data"), home.path().join("temporary"));
    std::fs::create_dir(&temporary).unwrap();
    let env = [
        ("SAGA_DATA_DIR", data.to_str().unwrap()),
        ("TMPDIR", temporary.to_str().unwrap()),
        ("HTTP_ADDR", "127.0.0.1:0"),
        ("SHUTDOWN_GRACE", "4s"),
    ];
    let env: BTreeMap<String, String> = env.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let process = Process::start("saga dev", &binary_path("saga"), &["dev", "--ephemeral"], &env);
    process.wait_for(&["saga dev is ready"]);
    assert!(!data.exists());
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 1, "it is kept somewhere as long as it runs");
    process
}

#[test]
fn nothing_is_kept_of_what_is_ephemeral() {
    for (signals, code) in [(&["INT"][..], 0), (&["TERM", "INT"], 1)] {
        let home = tempfile::tempdir().unwrap();
        let mut process = ephemeral(&home);
        for signal in signals {
            process.signal(signal);
        }
        assert_eq!(process.wait(), code, "{signals:?}");
        let left: Vec<_> = std::fs::read_dir(home.path().join("temporary")).unwrap().collect();
        assert!(left.is_empty(), "{signals:?}: {left:?}");
        assert!(!home.path().join("data").exists());
    }
}
