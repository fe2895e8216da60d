//! The `corecast` program: command line to configuration to server. Exit codes: 0 ended as asked, 1 could not start or
//! had to end (`doctor`: found an error), 2 the command line or the configuration is wrong.

use std::process::ExitCode;

use clap::Parser as _;
use corecast::auth::keys;
use corecast::auth::token::{Claims, OneOrMany};
use corecast::cli::{
    BenchOptions, CheckConfigOptions, Cli, ClusterCommand, Command, DoctorOptions, Options, TokenOptions,
};
use corecast::config::{Auth, Environment, Source, reference};
#[cfg(feature = "bench")]
use corecast::lab::bench::rig::Sink;
use corecast::{cluster, doctor, server};

/// The program's choice, not the library's. Where `jemalloc` is not wanted: `--no-default-features --features bench`.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let command = cli.command.unwrap_or(Command::Serve);
    if let Command::Bench(options) = &command {
        return bench(options, &cli.options);
    }
    if let Command::CheckConfig(CheckConfigOptions { reference, sample }) = &command
        && (*reference || *sample)
    {
        print!("{}", if *reference { reference::markdown() } else { reference::sample() });
        return ExitCode::SUCCESS;
    }
    // It is about another host: this one's configuration may be absent or wrong.
    if let Command::Doctor(options @ DoctorOptions { from: Some(url), .. }) = &command {
        return reach(url, options);
    }
    let cores = match server::allowed_cores() {
        Ok(cores) => cores,
        Err(error) => return fail(1, &error),
    };
    let (file, flags) = (cli.options.config.clone(), cli.options.settings());
    let source = Source { file, flags, environment: Environment::of_process(cores) };
    let config = match source.load() {
        Ok(config) => config,
        Err(error) => return fail(2, &error),
    };
    match command {
        Command::CheckConfig(_) => {
            print!("{}\n# Memory: {}\n", config.to_toml_shown(), doctor::memory::Plan::of(&config));
            ExitCode::SUCCESS
        }
        Command::Doctor(options) => doctor::run(&config, options.json),
        Command::Cluster(ClusterCommand::Status(options)) => cluster::status::run(&config, &options),
        Command::Token(options) => match token(&options, &config.auth) {
            Ok(token) => {
                println!("{token}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("corecast: error: {error}");
                ExitCode::FAILURE
            }
        },
        Command::Serve => match server::run(source, config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(1, &error),
        },
        Command::Bench(_) => unreachable!("it has no use for a configuration and was done before one was made"),
    }
}

/// A token as asked for, made for what the configuration wants of tokens.
fn token(options: &TokenOptions, auth: &Auth) -> Result<String, String> {
    let file = options.secret_file.as_ref().or(auth.secret_file.as_ref());
    let secret = match (file, &auth.secret) {
        (Some(file), _) => keys::secret_file(file).map_err(|error| error.to_string())?,
        (None, Some(secret)) => secret.clone(),
        (None, None) => {
            return Err(
                "there is no shared secret to make a token with: name a file with --secret-file (openssl rand \
                        -base64 32 > FILE; chmod 600 FILE), or a configuration with [auth] secret_file by --config"
                    .to_owned(),
            );
        }
    };
    let list = |values: &Vec<String>| (!values.is_empty()).then(|| OneOrMany::of(values.clone()));
    let one = |value: &Option<String>| value.clone().map(OneOrMany::One);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let claims = Claims {
        action: OneOrMany::of(options.action.clone()),
        stream: list(&options.stream),
        sub: options.subject.clone(),
        aud: one(&auth.audience),
        iss: one(&auth.issuer),
        exp: Some((now + options.expires).as_secs()),
        origin: list(&options.origin),
        viewers_max: options.viewers_max,
        messages: options.messages,
    };
    claims.sign(&secret)
}

#[cfg(feature = "bench")]
fn bench(options: &BenchOptions, common: &Options) -> ExitCode {
    let asked = common.settings().io;
    let io = match asked.as_deref().map(str::parse).transpose() {
        Ok(io) => io,
        Err(error) => {
            eprintln!("corecast: error: --io = {}: {error}", asked.unwrap_or_default());
            return ExitCode::from(2);
        }
    };
    let BenchOptions { json, budgets, live, quick, baseline, save_baseline, .. } = options.clone();
    let sink = Sink::ALL.into_iter().find(|sink| Some(sink.name()) == options.sink.as_deref());
    corecast::lab::bench::run(&corecast::lab::bench::BenchSettings {
        json,
        budgets,
        live,
        quick,
        baseline,
        save_baseline,
        sink,
        io,
    })
}

#[cfg(not(feature = "bench"))]
fn bench(_: &BenchOptions, _: &Options) -> ExitCode {
    eprintln!(
        "corecast: error: this binary was built without the cargo feature `bench`, which is on by default: build it \
         with `cargo build --release --features bench`"
    );
    ExitCode::from(2)
}

#[cfg(feature = "peer")]
fn reach(url: &str, options: &DoctorOptions) -> ExitCode {
    let DoctorOptions { json, stream, token_file, ca, .. } = options.clone();
    corecast::lab::reach::run(&corecast::lab::reach::Target { url: url.to_owned(), stream, token_file, ca }, json)
}

#[cfg(not(feature = "peer"))]
fn reach(_: &str, _: &DoctorOptions) -> ExitCode {
    eprintln!(
        "corecast: error: doctor --from: this binary was built without the cargo feature `peer`, which is on by default: \
         build it with `cargo build --release --features peer`"
    );
    ExitCode::from(2)
}

/// The one line an operator looks for.
fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    eprintln!("corecast: error: {error}");
    ExitCode::from(code)
}
