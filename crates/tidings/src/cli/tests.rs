//! The arguments as a whole.

use clap::CommandFactory;

use super::*;

#[test]
fn the_arguments_are_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn every_command_has_a_help_text() {
    let mut commands = vec![Arguments::command()];
    while let Some(command) = commands.pop() {
        assert!(
            command.get_about().is_some() || command.get_name() == "help",
            "{command}"
        );
        commands.extend(command.get_subcommands().cloned());
    }
}

#[test]
fn examples_fit_a_terminal() {
    let mut long = Vec::new();
    let mut commands = vec![Arguments::command()];
    while let Some(command) = commands.pop() {
        let text = command.get_after_help().map(ToString::to_string);
        let lines = text.as_deref().unwrap_or_default().lines();
        long.extend(lines.filter(|line| line.len() > 80).map(str::to_owned));
        commands.extend(command.get_subcommands().cloned());
    }
    assert_eq!(long, [""; 0]);
}

#[test]
fn wrong_arguments_and_configurations_exit_with_2() {
    assert_eq!(exit_code(&Usage("x").into()), 2);
    assert_eq!(
        exit_code(&crate::config::error::ConfigErrors(Vec::new()).into()),
        2
    );
    assert_eq!(exit_code(&anyhow::anyhow!("x")), 1);
}

#[test]
fn the_variables_of_the_command_line_are_known_to_the_configuration() {
    let mut commands = vec![Arguments::command()];
    while let Some(command) = commands.pop() {
        for argument in command.get_arguments() {
            let Some(name) = argument.get_env().and_then(|name| name.to_str()) else {
                continue;
            };
            // Those of systemd have names of their own, and the configuration does not look at them.
            let known = crate::config::env::COMMAND_LINE_VARIABLES.contains(&name);
            assert!(known || !crate::config::env::is_own(name), "{name}");
        }
        commands.extend(command.get_subcommands().cloned());
    }
}
