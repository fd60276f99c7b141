//! Prints every route, which of them are empty lists, and every path that is answered "not built", for `cargo xtask coverage`.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]
#![expect(clippy::print_stdout, reason = "a list for another program")]

fn main() {
    for route in paddock_api::routes() {
        println!("{} {}", route.method, route.path);
    }
    for path in paddock_api::EMPTY_LISTS {
        println!("empty {path}");
    }
    for (path, what) in paddock_api::NOT_BUILT {
        println!("not_built {path} {what}");
    }
}
