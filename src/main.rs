//! The `corecast` program: command line to configuration to server. Exit codes: 0 ended as asked, 1 could not start or
//! had to end (`doctor`: found an error), 2 the command line or the configuration is wrong.

use std::process::ExitCode;

use clap::Parser as _;
use corecast::cli::{Cli, Command};
use corecast::config::{Config, Environment};
use corecast::{doctor, server};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let cores = match server::allowed_cores() {
        Ok(cores) => cores,
        Err(error) => return fail(1, &error),
    };
    let environment = Environment::of_process(cores);
    let config = match Config::load(cli.options.config.as_deref(), &cli.options.settings(), &environment) {
        Ok(config) => config,
        Err(error) => return fail(2, &error),
    };
    match cli.command.unwrap_or(Command::Serve) {
        Command::CheckConfig => {
            print!("{}", config.to_toml());
            ExitCode::SUCCESS
        }
        Command::Doctor { json } => doctor::run(&config, json),
        Command::Serve => match server::run(&config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(1, &error),
        },
    }
}

/// The one line an operator looks for.
fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    eprintln!("corecast: error: {error}");
    ExitCode::from(code)
}
