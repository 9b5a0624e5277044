//! `cluster <command>` starts a server, runs a command with `DATABASE_URL` set to its address, and
//! removes the server. `cluster --installed` fails if a program that the tests need is missing.

use std::process::{Command, ExitCode};

use cluster::{Binaries, Cluster, Pooler};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: cluster <command> [arguments] | cluster --installed");
        return ExitCode::from(2);
    };
    if program == "--installed" {
        let is_installed = Binaries::find().is_ok() && Pooler::is_installed();
        return if is_installed { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let cluster = match Cluster::start() {
        Ok(cluster) => cluster,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let status = Command::new(program).args(arguments).env("DATABASE_URL", cluster.url()).status();
    match status {
        Ok(status) => {
            u8::try_from(status.code().unwrap_or(1)).map_or(ExitCode::FAILURE, ExitCode::from)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
