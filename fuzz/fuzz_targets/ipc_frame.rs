//! Messages between serve and router: a frame is taken off whole or not at all, and says the same when sent again.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use paddock_ipc::frame::{MESSAGE_BYTES_MAX, decode, encode};
use paddock_ipc::routes::{FromRouter, ToRouter};

fuzz_target!(|bytes: &[u8]| {
    stream::<ToRouter>(bytes);
    stream::<FromRouter>(bytes);
    // The length stands before it, so that what changes is the message.
    if let Ok(length) = u32::try_from(bytes.len()) {
        let frame = [&length.to_be_bytes(), bytes].concat();
        stream::<ToRouter>(&frame);
        stream::<FromRouter>(&frame);
    }
});

fn stream<T>(bytes: &[u8])
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug,
{
    let mut buffer = bytes.to_vec();
    loop {
        let before = buffer.len();
        match decode::<T>(&mut buffer) {
            Ok(Some(message)) => {
                assert!(before - buffer.len() >= 4 && before - buffer.len() <= 4 + MESSAGE_BYTES_MAX);
                let mut again = encode(&message).expect("it was a message");
                assert_eq!(decode::<T>(&mut again).expect("a frame of ours"), Some(message));
                assert!(again.is_empty());
            }
            Ok(None) | Err(_) => break assert_eq!(buffer.len(), before, "a part of a message stays"),
        }
    }
    assert!(bytes.ends_with(&buffer));
}
