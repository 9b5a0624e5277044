//! `cargo run --example bank`

fn main() -> std::process::ExitCode {
    bank::cli::main()
}
