//! Printing responses.

use serde_json::Value;

use super::http::{Client, Request, Response};
use crate::exit::Exit;
use crate::output;

/// Sends a request and prints the response: unchanged with `--json`, otherwise as text.
pub(crate) async fn show(
    client: &Client,
    request: Request<'_>,
    json: bool,
    human: impl FnOnce(&Value) -> String,
) -> anyhow::Result<Exit> {
    print(&client.send(request).await?, json, human)
}

/// Prints a response.
pub(crate) fn print(
    response: &Response,
    json: bool,
    human: impl FnOnce(&Value) -> String,
) -> anyhow::Result<Exit> {
    let refused = (!response.status.is_success()).then(|| response.refusal());
    if json {
        output::json(&response.body);
        return Ok(refused.map_or(Exit::Done, |stop| stop.exit));
    }
    if let Some(stop) = refused {
        return Err(stop.into());
    }
    output::write(&human(&response.body));
    Ok(Exit::Done)
}
