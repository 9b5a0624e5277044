//! `cargo run --example bank`

fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
