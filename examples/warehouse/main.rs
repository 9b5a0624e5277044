//! `cargo run --example warehouse`

fn main() -> std::process::ExitCode {
    warehouse::cli::main()
}
