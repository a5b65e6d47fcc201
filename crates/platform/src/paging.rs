//! Parts of lists that are too long to be read at once. A place in a list stays the same place while rows are
//! added and removed, so that pages lose and repeat nothing.

/// Bytes of the texts of a page whose items may be long; the last one may go beyond it by its own.
pub const PAGE_BYTES_MAX: usize = 8 << 20;

/// A place in a list. What the numbers mean is up to the list and its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(pub [i64; 4]);

/// Which part of a list to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Only what comes after this place: where the last page ended.
    pub after: Option<Place>,
    /// At most this many items.
    pub limit: usize,
}

impl Part {
    /// The first `limit` items.
    pub fn first(limit: usize) -> Self {
        Self { after: None, limit }
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where this page ends; `None` where nothing follows. A page that is not full may have one, and even one
    /// without an item: a store looks at so much and no more for a page.
    pub next: Option<Place>,
    /// Rows among them that are not as they were stored, which were left out.
    pub damaged: DamagedRows,
}

impl<T> Page<T> {
    /// An empty page: nothing follows.
    pub fn empty() -> Self {
        Self { items: Vec::new(), next: None, damaged: DamagedRows::default() }
    }
}

/// Rows that were left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DamagedRows {
    /// How many.
    pub count: u64,
    /// Which the first one is, for people: `message 7 of 2026-01-31 is not as it was stored`.
    pub first: Option<String>,
}

impl DamagedRows {
    /// One row.
    pub fn of(what: String) -> Self {
        Self { count: 1, first: Some(what) }
    }

    /// Counts one more.
    pub fn add(&mut self, what: String) {
        self.count += 1;
        self.first.get_or_insert(what);
    }

    /// Adds those of another part.
    pub fn add_all(&mut self, others: Self) {
        self.count += others.count;
        if self.first.is_none() {
            self.first = others.first;
        }
    }
}

/// Collects a page of a list that is read in order: an item beyond the limit only shows that something
/// follows.
///
/// A damaged row after the last item belongs to the next page if there is one, so that none is counted twice.
#[derive(Debug)]
pub struct Collector<T> {
    limit: usize,
    bytes: usize,
    page: Page<T>,
    last: Option<Place>,
    behind: DamagedRows,
}

impl<T> Collector<T> {
    /// Collects up to `limit` items.
    pub fn new(limit: usize) -> Self {
        Self { limit, bytes: 0, page: Page::empty(), last: None, behind: DamagedRows::default() }
    }

    /// Takes the next item. `false`: the page was full already, and this item begins the next one.
    pub fn take(&mut self, place: Place, item: T) -> bool {
        if self.is_full() {
            self.note_more();
            return false;
        }
        self.page.damaged.add_all(std::mem::take(&mut self.behind));
        self.page.items.push(item);
        self.last = Some(place);
        true
    }

    /// The same of an item with texts of so many bytes: with [`PAGE_BYTES_MAX`] of them the page is full.
    pub fn take_long(&mut self, place: Place, item: T, bytes: usize) -> bool {
        let is_taken = self.take(place, item);
        if is_taken {
            self.bytes = self.bytes.saturating_add(bytes);
        }
        is_taken
    }

    /// Whether the page is full.
    pub fn is_full(&self) -> bool {
        self.page.items.len() >= self.limit || self.bytes >= PAGE_BYTES_MAX
    }

    /// Notes that something follows a full page.
    pub fn note_more(&mut self) {
        self.page.next = self.last;
        self.behind = DamagedRows::default();
    }

    /// The page ends here although it is not full: the next one goes on behind this place.
    pub fn end_behind(&mut self, place: Place) {
        self.page.next = Some(place);
    }

    /// Notes a row that is left out.
    pub fn note_damaged(&mut self, what: String) {
        self.behind.add(what);
    }

    /// Notes several.
    pub fn note_damaged_rows(&mut self, rows: DamagedRows) {
        self.behind.add_all(rows);
    }

    /// The page.
    pub fn finish(mut self) -> Page<T> {
        self.page.damaged.add_all(self.behind);
        self.page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_long_items_is_full_after_so_many_bytes() {
        let mut collector = Collector::new(100);
        let taken = (0..100).take_while(|n| collector.take_long(Place([*n; 4]), *n, PAGE_BYTES_MAX / 8 + 1));
        assert_eq!(taken.count(), 8);
        let page = collector.finish();
        assert_eq!((page.items.len(), page.next), (8, Some(Place([7; 4]))));
    }

    #[test]
    fn a_full_page_says_where_it_ends_and_the_last_one_does_not() {
        let page = |limit, items: &[Option<i64>]| {
            let mut collector = Collector::new(limit);
            for item in items {
                match item {
                    Some(item) if !collector.take(Place([*item; 4]), *item) => break,
                    Some(_) => {}
                    None => collector.note_damaged("row".into()),
                }
            }
            let page = collector.finish();
            (page.items, page.next.map(|next| next.0[0]), page.damaged.count)
        };
        assert_eq!(page(2, &[Some(1), Some(2)]), (vec![1, 2], None, 0));
        assert_eq!(page(2, &[Some(1), None, Some(2), None, Some(3)]), (vec![1, 2], Some(2), 1));
        assert_eq!(page(2, &[Some(1), Some(2), None, None]), (vec![1, 2], None, 2));
        assert_eq!(page(0, &[Some(1)]), (vec![], None, 0));
        assert_eq!(page(2, &[]), (vec![], None, 0));
    }
}
