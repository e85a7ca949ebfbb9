//! A product: a thing with a price and general stock.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::kernel::id::ProductId;
use crate::kernel::row::{IndexKind, IndexRows, Row, TableId, indexes};
use crate::kernel::value::{Millis, Money, Revision, RowStamp};
use crate::kernel::version::Versioned;

/// One product row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Product {
    /// `prd_...`
    pub id: ProductId,
    /// 1..=100 characters.
    pub name: String,
    /// 1..=5000 characters.
    pub description: Option<String>,
    /// 1..=500 characters.
    pub image_url: Option<String>,
    /// Orders of it need no address.
    pub no_shipping: bool,
    /// Price of one unit; its currency is fixed at creation.
    pub price: Money,
    /// No new orders on the product and its sales.
    pub discontinued: bool,
    /// Whether customers may queue behind sold-out stock.
    pub waitlist: bool,
    /// When the row wants to be looked at.
    pub due_at: Option<Millis>,
    /// Version and stamps.
    pub row: RowStamp,
}

indexes! {
    /// All products, by the log entry that created them.
    ProductsByTicket(1010, "products_by_ticket", IndexKind::Appended { term_bytes: 0 }):
        (Revision, ProductId);
    /// Products that are not discontinued.
    ProductsOffered(1011, "products_offered", IndexKind::Stored): (Revision, ProductId);
    /// Every ending of every word of a product's name, so that a part of a word is the beginning of
    /// a key.
    ProductsByName(1012, "products_by_name", IndexKind::Stored): (NamePart, Revision, ProductId);
}

/// A part of a word of a name: lower case, cut to 22 bytes, filled up with zeros.
pub type NamePart = [u8; 22];

/// The first bytes of a text as a [`NamePart`].
pub fn name_part(text: &str) -> NamePart {
    let mut part = NamePart::default();
    for (to, from) in part.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    part
}

/// The words of a name or of a search, in lower case. What a letter is depends on the version of
/// Unicode; `docs/extending.md` says what a newer one needs.
#[expect(clippy::disallowed_methods, reason = "index keys decide nothing")]
pub fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

impl Versioned for Product {}

impl Row for Product {
    const TABLE: TableId = TableId(2);
    const NAME: &'static str = "products";
    const HOT: bool = true;
    const LIVE: bool = true;
    type Key = ProductId;

    fn key(&self) -> ProductId {
        self.id
    }

    fn stamp(&self) -> Option<RowStamp> {
        Some(self.row)
    }

    fn set_stamp(&mut self, stamp: RowStamp) {
        self.row = stamp;
    }

    fn index(&self, rows: &mut IndexRows) {
        let ticket = self.row.created.revision;
        rows.add::<ProductsByTicket>((ticket, self.id));
        if !self.discontinued {
            rows.add::<ProductsOffered>((ticket, self.id));
        }
        let words = words(&self.name);
        let endings = words.iter().flat_map(|word| {
            word.char_indices().filter_map(|(start, _)| word.get(start..)).map(name_part)
        });
        for part in endings.collect::<BTreeSet<NamePart>>() {
            rows.add::<ProductsByName>((part, ticket, self.id));
        }
    }

    fn due_at(&self) -> Option<Millis> {
        self.due_at
    }
}
