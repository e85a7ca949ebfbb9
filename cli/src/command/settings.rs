//! `firstcome settings ...`: the settings that all nodes of a cluster share.

use clap::Subcommand;
use firstcome_domain::Role;
use serde_json::{Map, Value};

use crate::client::{Remote, Request, show};
use crate::exit::{Exit, Stop};
use crate::output::object;

const PATH: &str = "/v1/admin/settings";

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome settings show
  firstcome settings set pay_within_seconds=600 max_pending_orders=3
  firstcome settings set ship_after_seconds=null         only staff ship orders

The settings of one node are in its cluster.toml; see firstcome serve --help.")]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Show the settings.
    Show,
    /// Change the given settings; all others keep their values.
    Set {
        /// Name and new value; names as printed by firstcome settings show.
        #[arg(required = true, value_name = "NAME=VALUE", value_parser = parse_change)]
        changes: Vec<(String, Value)>,
    },
}

pub(crate) async fn run(args: Args, json: bool) -> anyhow::Result<Exit> {
    let client = args.remote.client(Role::Admin)?;
    match args.verb {
        Verb::Show => show(&client, Request::get(PATH), json, object).await,
        Verb::Set { changes } => {
            let body = Value::Object(each_once(changes)?);
            let etag = client.etag(PATH).await?;
            show(&client, Request::patch(PATH, &body, etag), json, object).await
        }
    }
}

/// All changes; an error if a name comes twice.
fn each_once(changes: Vec<(String, Value)>) -> Result<Map<String, Value>, Stop> {
    let mut all = Map::new();
    for (name, value) in changes {
        if all.contains_key(&name) {
            return Err(Stop::new(Exit::Usage, format!("{name} is given more than once")));
        }
        all.insert(name, value);
    }
    Ok(all)
}

/// Parses a change such as `pay_within_seconds=600`. Which names and values there are is up to the
/// API.
fn parse_change(text: &str) -> Result<(String, Value), String> {
    let wrong = || {
        format!(
            "invalid change {text:?}: use a name and a whole number or null, for example \
             pay_within_seconds=600"
        )
    };
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    let value: Option<i64> = serde_json::from_str(value).map_err(|_| wrong())?;
    if name.is_empty() { Err(wrong()) } else { Ok((name.to_owned(), value.into())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_comes_twice_is_refused() {
        let change = |name: &str, value: u32| (name.to_owned(), Value::from(value));
        let all = each_once(vec![change("a", 1), change("b", 2)]).expect("two names");
        assert_eq!(all.len(), 2);
        let stop = each_once(vec![change("a", 1), change("a", 2)]).expect_err("the same name");
        assert_eq!((stop.exit, &*stop.message), (Exit::Usage, "a is given more than once"));
    }

    #[test]
    fn changes_are_a_name_and_a_number_or_null() {
        let change = |name: &str, value: Value| Ok((name.to_owned(), value));
        assert_eq!(parse_change("pay_attempts=3"), change("pay_attempts", 3.into()));
        assert_eq!(
            parse_change("ship_after_seconds=null"),
            change("ship_after_seconds", Value::Null)
        );
        for wrong in ["pay_attempts", "=3", "pay_attempts=", "pay_attempts=3s", "a=1.5", "a=\"b\""]
        {
            let error = parse_change(wrong).unwrap_err();
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
        }
    }
}
