//! A large catalogue: products with long descriptions, so that a read which has to look at many of
//! them has work to do.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use firstcome_domain::Role;
use serde_json::json;
use tokio::task::JoinSet;

use super::target::Target;
use crate::credentials::fresh_user;
use crate::exit::{Exit, Stop};
use crate::load::connection::Post;
use crate::load::retry_client::{NoResponse, RetryClient};

/// Half of what a node accepts from staff at the same time.
const CONNECTIONS: usize = 16;
/// Timeout of one product, with retries.
const PRODUCT_LIMIT: Duration = Duration::from_secs(30);
/// Longer than creating the largest catalogue takes.
const TOKEN_SECONDS: u64 = 6 * 3600;
/// Close to the limit of 5000 characters.
const DESCRIPTION_CHARS: usize = 4800;
const SENTENCE: &str = "Cast by hand from recycled glass, wired with linen cord, tested twice. ";

/// What the connections share.
struct Work {
    nodes: Vec<String>,
    token: String,
    run: String,
    count: usize,
    next: Cell<usize>,
}

/// Creates `count` products through all nodes.
pub(super) async fn create(target: &Target, count: usize) -> anyhow::Result<()> {
    let work = Rc::new(Work {
        nodes: target.addresses.clone(),
        token: target.keys.mint(fresh_user(), Role::Admin, TOKEN_SECONDS),
        run: uuid::Uuid::now_v7().simple().to_string(),
        count,
        next: Cell::new(0),
    });
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS.min(count) {
        tasks.spawn_local(connection(Rc::clone(&work)));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// One connection per node: creates one product after the other until all are there.
async fn connection(work: Rc<Work>) -> anyhow::Result<()> {
    let mut client = RetryClient::new(&work.nodes);
    let text: String = SENTENCE.chars().cycle().take(DESCRIPTION_CHARS).collect();
    loop {
        let at = work.next.replace(work.next.get() + 1);
        if at >= work.count {
            return Ok(());
        }
        let product = json!({
            "name": format!("Glass lamp, model {at}"), "description": text, "no_shipping": true,
            "stock": 1, "price": {"amount": 15000, "currency": "KRW"},
        });
        let host = work.nodes.first().map_or("", String::as_str);
        let post = Post::new(host, "/v1/admin/products", &product.to_string());
        let key = format!("{}-{at}", work.run);
        let deadline = Instant::now() + PRODUCT_LIMIT;
        let asked = client.post(at, &post, &work.token, &key, deadline).await;
        let reason = match asked {
            Ok(response) if response.status == 201 => continue,
            Ok(response) => response.label(),
            Err(NoResponse(why)) => why.last().cloned().unwrap_or_default(),
        };
        let message = format!("cannot create product {at} of {}: {reason}", work.count);
        return Err(Stop::new(Exit::Refused, message).into());
    }
}
