//! The witness for products: the version and price in every dump must be the model's.
//!
//! Lost responses are placed by the versions they made, see [`crate::judge::check::product_edits`].

use super::{entries, replayed};
use crate::judge::check::{Evidence, Finding};
use crate::judge::model::register::Model;
use crate::judge::operation::Ended;

pub(super) fn check(evidence: &Evidence, finding: &mut Finding) {
    let edits = &evidence.edits;
    let lost = edits.operations.iter().any(|operation| operation.ended == Ended::Unknown);
    if lost && evidence.dumps.iter().all(|dump| dump.edits.is_empty()) {
        finding.unknown("responses about products were lost, and no node lists its events");
        return;
    }
    let entries = entries::<Model>(&edits.operations, &edits.resolved);
    let Some(model) = replayed(entries, finding) else { return };
    for dump in &evidence.dumps {
        let node = &dump.node;
        for (product, price, version) in model.products() {
            let Some(row) = dump.products.get(product) else {
                finding.wrong(format!("{node} has lost {product}"));
                continue;
            };
            let (shown, value) = ((row.price, row.version), (price, version));
            if value != shown {
                finding.wrong(format!(
                    "{node} shows {product} with price and version {shown:?}, not {value:?}"
                ));
            }
        }
    }
}
