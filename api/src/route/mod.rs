//! The list of all routes, each with its [`Spec`]: what it requires, what it responds with, and so
//! what the OpenAPI document says about it.

mod address;
mod admin_audit;
mod admin_effect;
mod admin_event;
mod admin_keys;
mod admin_ledger;
mod admin_order;
mod admin_product;
mod admin_sale;
mod admin_settings;
mod admin_stock;
mod admin_user;
mod auth;
mod bench;
mod catalogue;
mod cluster;
mod document;
mod health;
mod me;
#[cfg(feature = "next")]
mod next;
pub(crate) mod order;
mod routes;
mod wishlist;

use std::sync::Arc;

use axum::Router;
use firstcome_raft::Node;

use crate::app::App;
use crate::keys::Keys;
use crate::options::ApiOptions;
use crate::spec::Spec;
use routes::Routes;

fn routes() -> Routes {
    let routes = order::register(catalogue::register(Routes::new()));
    let routes = me::register(auth::register(routes));
    let routes = address::register(wishlist::register(routes));
    let routes = admin_sale::register(admin_product::register(routes));
    let routes = admin_order::register(admin_stock::register(routes));
    let routes = admin_event::register(admin_ledger::register(routes));
    let routes = admin_audit::register(routes);
    let routes = admin_effect::register(admin_user::register(routes));
    let routes = cluster::register(admin_settings::register(admin_keys::register(routes)));
    #[cfg(feature = "next")]
    let routes = next::register(routes);
    document::register(health::register(routes))
}

/// Every route, in the order of the counters.
pub(crate) fn specs() -> Vec<&'static Spec> {
    bench::register(routes()).specs()
}

/// The router of all routes over one node.
pub(crate) fn router(node: Node, keys: &Keys, options: ApiOptions) -> Router {
    let routes = if options.noop_route { bench::register(routes()) } else { routes() };
    routes.into_router(Arc::new(App::new(node, keys, options, specs())))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::access::Permission;
    use crate::openapi;
    use crate::spec::{KeyRule, Verb};

    #[test]
    fn ref05_every_route_declares_its_sender() {
        for spec in specs() {
            let open = spec.permission.is_public();
            let write = spec.verb != Verb::Get;
            // Who has no account yet, or is not logged in yet, can say who they are only here.
            let auth = spec.path.starts_with("/v1/auth/");
            assert_eq!(auth, spec.permission == Permission::AuthPublic, "{}", spec.path);
            assert!(
                !(open && write && !auth),
                "{} {} changes state without a caller",
                spec.verb.as_str(),
                spec.path
            );
            let staff = spec.path.starts_with("/v1/admin");
            let own = matches!(spec.permission, Permission::Own);
            assert!(!(staff && (open || own)), "{} is not for customers", spec.path);
        }
    }

    /// Story: the retirement of a key version looks at every row, and ended after 15 seconds.
    #[test]
    fn only_what_looks_at_every_row_may_take_long() {
        let specs = specs();
        let long = specs.iter().filter(|spec| spec.time_max > Spec::GET.time_max);
        let long: Vec<&str> = long.map(|spec| spec.operation).collect();
        assert_eq!(long, ["retire_key_version"]);
    }

    #[test]
    fn every_route_declares_permission() {
        let (_, table) = include_str!("../../../docs/permissions.md")
            .split_once("| route | permission |\n")
            .expect("a table of routes");
        let rows = table.lines().skip(1).take_while(|line| !line.is_empty());
        let documented: Vec<String> = rows.map(str::to_owned).collect();
        let specs = specs();
        let coded = specs.iter().filter(|spec| !spec.hidden).map(|spec| {
            let (verb, permission) = (spec.verb.as_str(), spec.permission.as_str());
            format!("| `{verb} {}` | `{permission}` |", spec.path)
        });
        let (coded, unique): (BTreeSet<String>, BTreeSet<String>) =
            (coded.collect(), documented.iter().cloned().collect());
        assert_eq!(unique, coded);
        assert_eq!(unique.len(), documented.len(), "a route is listed twice");
        let used: BTreeSet<_> = specs.iter().map(|spec| spec.permission.as_str()).collect();
        let all: BTreeSet<_> =
            Permission::ALL.iter().map(|permission| permission.as_str()).collect();
        assert_eq!(used, all);
    }

    #[test]
    fn operations_and_paths_are_unique() {
        let specs = specs();
        let operations: BTreeSet<_> = specs.iter().map(|spec| spec.operation).collect();
        let addresses: BTreeSet<_> =
            specs.iter().map(|spec| (spec.path, spec.verb.as_str())).collect();
        assert_eq!(operations.len(), specs.len());
        assert_eq!(addresses.len(), specs.len());
        assert!(specs.iter().all(|spec| !spec.summary.is_empty() && !spec.tag.is_empty()));
    }

    #[test]
    fn routes_that_move_stock_or_money_require_a_key() {
        for spec in specs() {
            let moves = ["orders", "cancellations", "returns", "return-receipts"]
                .into_iter()
                .chain(["stock-adjustments", "allotments", "settlements"])
                .any(|last| spec.path.ends_with(last));
            let demanded = spec.key == KeyRule::Required;
            assert_eq!(spec.verb == Verb::Post && moves, demanded, "{}", spec.path);
        }
    }

    fn document() -> (Vec<&'static Spec>, Value) {
        let specs = specs();
        let document = serde_json::to_value(openapi::document(&specs)).unwrap();
        (specs, document)
    }

    #[test]
    fn every_registered_route_is_documented() {
        let (specs, document) = document();
        assert_eq!(document["openapi"], "3.1.0");
        let mut documented = 0;
        for item in document["paths"].as_object().unwrap().values() {
            documented += item.as_object().unwrap().len();
        }
        let shown: Vec<_> = specs.iter().filter(|spec| !spec.hidden).collect();
        assert_eq!(documented, shown.len());
        for spec in shown {
            let operation = &document["paths"][spec.path][spec.verb.as_str().to_lowercase()];
            let text = operation["description"].as_str().unwrap();
            assert!(text.contains(spec.permission.as_str()), "{} {text}", spec.path);
            assert!(operation["responses"][spec.status.to_string()].is_object(), "{}", spec.path);
            assert!(operation["responses"]["500"].is_object(), "{}", spec.path);
        }
        assert!(document["paths"].get("/v1/bench/noop").is_none());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let (_, document) = document();
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
        }
    }
}
