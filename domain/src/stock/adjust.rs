//! Corrections of stock by staff.

use super::command::{Adjustment, StockAdjust};
use super::moves::{Cause, pool_of, require_stock_quantity, require_units, shift};
use super::row::{PoolId, Reason};
use crate::draft::Draft;
use crate::field;
use crate::kernel::actor::Actor;
use crate::kernel::value::NOTE_CHARS_MAX;
use crate::outcome::{Done, Kind, Refusal};
use crate::permission::Needs;
use crate::product::row::Product;
use crate::rule::{Rule, Touch};
use crate::sale::row::Sale;
use crate::sale::rules::require_not_over;
use crate::view::View;

impl Rule for StockAdjust {
    fn needs(&self) -> Needs {
        Needs::Shop
    }

    fn touches(&self) -> Vec<Touch> {
        let mut touches = Vec::new();
        if let PoolId::Sale(id) = self.pool {
            touches.push(Touch::Sale(id));
        }
        match self.adjustment {
            Adjustment::Out | Adjustment::Scrap => {
                touches.push(Touch::Units(self.pool, self.quantity));
            }
            Adjustment::In | Adjustment::Unscrap => {}
        }
        touches
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        adjust(draft, self)
    }
}

/// Adds, takes, scraps or unscraps units of a pool.
fn adjust<V: View>(draft: &mut Draft<'_, V>, ask: &StockAdjust) -> Result<Done, Refusal> {
    require_stock_quantity("/delta", ask.quantity)?;
    field::text_if_any("/reason", ask.note.as_ref(), NOTE_CHARS_MAX)?;
    let sale = match ask.pool {
        PoolId::Product(id) => {
            draft.get::<Product>(id).ok_or(Refusal::NotFound(Kind::Product))?;
            None
        }
        PoolId::Sale(id) => Some(draft.get::<Sale>(id).ok_or(Refusal::NotFound(Kind::Sale))?),
    };
    let reason = match ask.adjustment {
        Adjustment::In => Reason::StockIn,
        Adjustment::Out => Reason::StockOut,
        Adjustment::Scrap => Reason::Scrap,
        Adjustment::Unscrap => Reason::Unscrap,
    };
    if ask.adjustment == Adjustment::In {
        sale.as_deref().map_or(Ok(()), |sale: &Sale| require_not_over(sale, draft.now()))?;
    } else {
        let (source, _) = reason.way();
        require_units(&pool_of(draft, ask.pool), source, ask.quantity)?;
    }
    shift(draft, ask.pool, reason, ask.quantity, Cause::note(ask.note.clone()));
    Ok(Done::Stock(*pool_of(draft, ask.pool)))
}
