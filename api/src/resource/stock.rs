//! Stock: exact, as a level, or hidden.

use firstcome_domain::sale::{Disclosure, Phase};
use firstcome_domain::stock::{Pool, PoolId};
use serde::Serialize;
use utoipa::ToSchema;

use super::words::{disclosure_word, phase_word};

/// The stock of a product or a sale. A `bucketed` sale shows only `level`, and a `hidden` one only
/// its `state`. Staff always see the numbers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = Stock)]
pub(crate) struct StockBody {
    /// Always `stock`.
    #[schema(example = "stock")]
    object: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sale_id: Option<String>,
    /// `exact`, `bucketed` or `hidden`.
    disclosure: &'static str,
    /// The state of the sale.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    /// `none`, `low` (up to the larger of 10 and 5 % of stocked) or `plenty`.
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<&'static str>,
    #[serde(flatten)]
    numbers: Option<Numbers>,
    /// The log entry that last changed the stock.
    revision: u64,
}

/// The numbers of units.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = StockNumbers)]
struct Numbers {
    /// All units.
    stocked: u64,
    /// Can be ordered.
    available: u64,
    /// Held by unpaid orders.
    held: u64,
    /// Paid for.
    sold: u64,
    /// Scrapped.
    scrapped: u64,
    /// Entries on the waitlist: 0, because there are no waitlists yet.
    waiting: u32,
}

impl Numbers {
    fn of(pool: &Pool) -> Self {
        Self {
            stocked: pool.accounts.stocked(),
            available: pool.accounts.available,
            held: pool.accounts.held,
            sold: pool.accounts.sold,
            scrapped: pool.accounts.scrapped,
            waiting: 0,
        }
    }
}

impl StockBody {
    /// All numbers.
    pub(crate) fn exact(pool: &Pool) -> Self {
        Self::sale(pool, Disclosure::Exact, None)
    }

    /// The stock of a sale, as far as it is disclosed.
    pub(crate) fn sale(pool: &Pool, disclosure: Disclosure, phase: Option<Phase>) -> Self {
        let (product_id, sale_id) = match pool.id {
            PoolId::Product(id) => (Some(id.to_string()), None),
            PoolId::Sale(id) => (None, Some(id.to_string())),
        };
        let exact = disclosure == Disclosure::Exact;
        let bucketed = disclosure == Disclosure::Bucketed;
        Self {
            object: "stock",
            product_id,
            sale_id,
            disclosure: disclosure_word(disclosure),
            state: phase.map(phase_word),
            level: bucketed.then(|| level(pool)),
            numbers: exact.then(|| Numbers::of(pool)),
            revision: pool.row.updated.revision.get(),
        }
    }
}

fn level(pool: &Pool) -> &'static str {
    let low = (pool.accounts.stocked() / 20).max(10);
    match pool.accounts.available {
        0 => "none",
        some if some <= low => "low",
        _ => "plenty",
    }
}

#[cfg(test)]
mod tests {
    use firstcome_domain::SaleId;
    use firstcome_domain::stock::Accounts;
    use firstcome_domain::value::RowStamp;

    use super::*;

    fn pool(available: u64, sold: u64) -> Pool {
        let accounts = Accounts { available, sold, ..Accounts::default() };
        Pool { id: PoolId::Sale(SaleId::new(1)), accounts, row: RowStamp::default() }
    }

    #[test]
    fn disclosure_hides_numbers() {
        let shown = |disclosure, pool: &Pool| {
            serde_json::to_value(StockBody::sale(pool, disclosure, Some(Phase::Open))).unwrap()
        };
        let exact = shown(Disclosure::Exact, &pool(7, 93));
        assert_eq!((&exact["stocked"], &exact["available"]), (&100.into(), &7.into()));
        for (pool, level) in [
            (pool(0, 100), "none"),
            (pool(10, 0), "low"),
            (pool(11, 0), "plenty"),
            (pool(50, 950), "low"),
            (pool(51, 949), "plenty"),
        ] {
            let bucketed = shown(Disclosure::Bucketed, &pool);
            assert_eq!(bucketed["level"], level);
            assert!(bucketed.get("available").is_none() && bucketed.get("stocked").is_none());
        }
        let hidden = shown(Disclosure::Hidden, &pool(7, 93));
        assert_eq!(hidden["state"], "open");
        assert!(hidden.get("level").is_none() && hidden.get("available").is_none());
    }
}
