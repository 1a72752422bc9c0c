//! Pages in the form of Spring's `Page`, which the clients of orders know.

use serde::Serialize;

/// Which page, and how long one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// From 0.
    pub page: u32,
    /// From 1.
    pub size: u32,
}

/// One page.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    content: Vec<T>,
    pageable: Pageable,
    total_elements: u64,
    total_pages: u64,
    number: u32,
    size: u32,
    number_of_elements: usize,
    first: bool,
    last: bool,
    empty: bool,
    sort: Sort,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pageable {
    page_number: u32,
    page_size: u32,
    offset: u64,
    paged: bool,
    unpaged: bool,
    sort: Sort,
}

#[derive(Debug, Serialize)]
struct Sort {
    empty: bool,
    sorted: bool,
    unsorted: bool,
}

/// No order was asked for.
const UNSORTED: Sort = Sort { empty: true, sorted: false, unsorted: true };

impl Wanted {
    /// How many elements stand before the page.
    pub fn offset(self) -> u64 {
        u64::from(self.page) * u64::from(self.size)
    }
}

impl<T> Page<T> {
    /// The page that was wanted, of `total` elements.
    pub fn new(wanted: Wanted, content: Vec<T>, total: u64) -> Self {
        let Wanted { page, size } = wanted;
        let total_pages = total.div_ceil(u64::from(size.max(1)));
        Self {
            pageable: Pageable {
                page_number: page,
                page_size: size,
                offset: wanted.offset(),
                paged: true,
                unpaged: false,
                sort: UNSORTED,
            },
            total_elements: total,
            total_pages,
            number: page,
            size,
            number_of_elements: content.len(),
            first: page == 0,
            last: u64::from(page) + 1 >= total_pages,
            empty: content.is_empty(),
            content,
            sort: UNSORTED,
        }
    }
}
