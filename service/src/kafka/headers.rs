//! The headers of a message, whatever they hold.

use std::ffi::CStr;
use std::ptr;

use rdkafka::bindings::{
    rd_kafka_header_cnt, rd_kafka_header_get_all, rd_kafka_headers_t, rd_kafka_message_headers, rd_kafka_resp_err_t,
};
use rdkafka::message::{BorrowedMessage, Header as Borrowed, OwnedHeaders};

use crate::headers::Headers;

/// The headers of a message that was read, in order. A name that is not UTF-8 is read as far as it is; a value that
/// is null is read as empty.
///
/// rdkafka's own reading panics at such a name, which would let any message end a consumer.
#[allow(unsafe_code)]
pub fn headers_of(message: &BorrowedMessage<'_>) -> Headers {
    const NO_ERROR: rd_kafka_resp_err_t = rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
    let mut list: *mut rd_kafka_headers_t = ptr::null_mut();
    // SAFETY: the message is alive, and its headers belong to it: they live as long as the borrow.
    if unsafe { rd_kafka_message_headers(message.ptr(), &mut list) } != NO_ERROR || list.is_null() {
        return Headers::default();
    }
    // SAFETY: `list` was just given to us for this message.
    let count = unsafe { rd_kafka_header_cnt(list) };
    let mut headers = Headers::new();
    for index in 0..count {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: `list` is alive, and the three places are ours.
        let found = unsafe { rd_kafka_header_get_all(list, index, &mut name, &mut value, &mut size) };
        if found != NO_ERROR || name.is_null() {
            continue;
        }
        // SAFETY: librdkafka ends each name with NUL and keeps it as long as the message.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
        let value = if value.is_null() {
            &[]
        } else {
            // SAFETY: `value` points to `size` bytes that live as long as the message.
            unsafe { std::slice::from_raw_parts(value.cast::<u8>(), size) }
        };
        headers.push(&name, value);
    }
    headers
}

/// Headers as a producer takes them.
pub fn to_headers(headers: &Headers) -> OwnedHeaders {
    let all = OwnedHeaders::new_with_capacity(headers.len());
    headers.iter().fold(all, |all, (key, value)| all.insert(Borrowed { key, value: Some(value) }))
}
