//! The protocol as docs/protocol.md has it, spoken by a client that is not ours: a shell with socat.

use std::io::{BufRead, BufReader};

use ipmp_api::interface;
use ipmp_core::snapshot::InterfaceState;
use ipmp_lab::Output;
use libtest_mimic::Failed;
use serde_json::{Value, json};

use crate::bad_input::unharmed;
use crate::bed::{Bed, find, same};
use crate::ordinary_user::NOBODY;

const SLOW: u32 = 10_000;

tests![
    socat_examples_of_the_document_work,
    socat_gets_the_description_that_the_document_has,
    socat_follows_events,
    socat_of_an_ordinary_user_may_look_and_not_command,
];

/// A script on host1, as it would be typed into a shell.
fn script(bed: &Bed, text: &str, user: Option<u32>) -> Result<Output, Failed> {
    bed.host1.write_file("/etc/script", text)?;
    let line = "sh /etc/script";
    Ok(match user {
        None => bed.host1.run(line)?,
        Some(user) => bed.host1.run_as(user, line)?,
    })
}

/// What one request is answered, as its object.
fn call(bed: &Bed, request: &Value, user: Option<u32>) -> Result<Value, Failed> {
    bed.host1
        .write_file("/etc/request", &format!("{request}"))?;
    let text = "socket=$(stat -Lc '/run/ipmp/%i/control' /proc/self/ns/net)\n\
                { cat /etc/request; printf '\\0'; } | socat -t 10 - \"UNIX-CONNECT:$socket\"\n";
    let output = script(bed, text, user)?;
    let reply = output.stdout.strip_suffix('\0');
    let reply = reply.ok_or_else(|| format!("{request}: {output:?}"))?;
    Ok(serde_json::from_str(reply)?)
}

fn socat_examples_of_the_document_work() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    let document = include_str!("../../../../docs/protocol.md");
    let blocks = document.split("```sh\n").skip(1);
    let examples: Vec<&str> = blocks.filter_map(|rest| rest.split("```").next()).collect();
    // What is to be found in what each of them prints.
    let expected = [
        "/control",
        "\"version\":",
        "\"name\":\"testgrp2\",\"state\":\"ok\"",
        "{\"parameters\":{\"answer\":\"done\"}}",
        "\"ge1 is offline: asked for\"",
    ];
    same("examples", &examples.len(), &expected.len())?;
    for (example, expected) in examples.into_iter().zip(expected) {
        let output = script(&bed, example, None)?;
        let is_right = output.success() && output.stdout.contains(expected);
        same(example, &is_right, &true).map_err(|_| format!("{example}: {output:?}"))?;
    }
    let seen = bed.snapshot()?;
    let ge1 = find(&seen, "ge1").map(|ge1| ge1.state);
    same("ge1", &ge1, &Some(InterfaceState::Offline))
}

fn socat_gets_the_description_that_the_document_has() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    let document = include_str!("../../../../docs/protocol.md");
    let info = call(&bed, &json!({ "method": interface::GET_INFO }), None)?;
    let names = info
        .pointer("/parameters/interfaces")
        .and_then(Value::as_array);
    let names = names.ok_or("no interfaces")?;
    same("interfaces", &names.len(), &2)?;
    for name in names {
        let request = json!({
            "method": interface::GET_DESCRIPTION,
            "parameters": { "interface": name },
        });
        let reply = call(&bed, &request, None)?;
        let description = reply
            .pointer("/parameters/description")
            .and_then(Value::as_str);
        let description = description.ok_or("no description")?;
        let is_there = document.contains(&format!("```varlink\n{description}```"));
        same(&format!("the document has {name}"), &is_there, &true)?;
    }
    Ok(())
}

fn socat_follows_events() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    bed.host1.write_file(
        "/etc/follow",
        "socket=$(stat -Lc '/run/ipmp/%i/control' /proc/self/ns/net)\n\
         printf '{\"method\":\"org.ipmp.Events\",\"more\":true}\\0' |\n\
         socat -,ignoreeof \"UNIX-CONNECT:$socket\"\n",
    )?;
    let mut follower = bed.host1.spawn_as(NOBODY, "sh /etc/follow")?;
    let stdout = follower.stdout.take().ok_or("no standard output")?;
    let mut replies = BufReader::new(stdout).split(0);
    let mut next = || -> Result<Value, Failed> {
        let reply = replies.next().ok_or("the follower has ended")??;
        let reply: Value = serde_json::from_slice(&reply)?;
        same("more follows", &reply.get("continues"), &Some(&json!(true)))?;
        let events = reply.pointer("/parameters/events");
        Ok(events.cloned().unwrap_or_default())
    };
    // What was before, and then what happens, in the order in which it happens.
    let before = next()?.as_array().map_or(0, Vec::len);
    same("there was something before", &(before > 0), &true)?;
    bed.ge1.cable.pull()?;
    let mut texts: Vec<String> = Vec::new();
    while texts.len() < 3 {
        let events = next()?;
        let events = events.as_array().into_iter().flatten();
        texts.extend(
            events
                .filter_map(|event| event.get("text")?.as_str())
                .map(str::to_owned),
        );
    }
    same(
        "events",
        texts.get(..3).unwrap_or_default(),
        [
            "link of ge1 is down",
            "ge1 is failed: its link is down",
            "group testgrp2 is degraded: ge1: its link is down",
        ]
        .as_slice(),
    )
}

fn socat_of_an_ordinary_user_may_look_and_not_command() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    unharmed(&bed, || {
        let user = Some(NOBODY);
        for method in [interface::PING, interface::SNAPSHOT, interface::EVENTS] {
            let reply = call(&bed, &json!({ "method": method }), user)?;
            same(method, &reply.get("error"), &None::<&Value>)?;
        }
        let offline = json!({ "offline": { "interface": "ge1" } });
        for request in [
            json!({ "method": interface::EXECUTE, "parameters": { "command": offline } }),
            json!({ "method": interface::PROBES, "more": true }),
        ] {
            let reply = call(&bed, &request, user)?;
            let denied = interface::PERMISSION_DENIED;
            same(
                &request.to_string(),
                &reply.get("error"),
                &Some(&json!(denied)),
            )?;
        }
        Ok(())
    })
}
