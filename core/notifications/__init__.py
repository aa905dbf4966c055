"""Messages to people: Slack, mail, webhooks. Written first, sent by a job, each with what became of it."""
