//! One plain and one streamed call with reqwest on rustls and the system's roots; writes both bodies as it got them.

use std::io::{self, Read, Write};

const URL: &str = "https://api.openai.com/v1/chat/completions";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let key = std::env::var("OPENAI_API_KEY")?;
    let client = reqwest::blocking::Client::new();
    let mut output = io::stdout();
    for stream in ["false", "true"] {
        let body = format!(
            r#"{{"model":"made","messages":[{{"role":"user","content":"Wie warm ist es? 🌡"}}],"stream":{stream}}}"#
        );
        let mut answer = client
            .post(URL)
            .bearer_auth(&key)
            .header("Content-Type", "application/json")
            .body(body)
            .send()?
            .error_for_status()?;
        let mut piece = [0; 65536];
        loop {
            match answer.read(&mut piece)? {
                0 => break,
                length => output.write_all(&piece[..length])?,
            }
            output.flush()?;
        }
    }
    Ok(())
}
