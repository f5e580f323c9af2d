// A message for a Slack incoming webhook: the event type, and the payload's fields below it; or the variable `text`, filled in.
// Slack allows 50 blocks, 10 fields of 2000 characters in a section, and 150 characters in a header.

// Slack reads links, mentions and channels between < and >, and nowhere else in verbatim texts.
const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
const escaped = (character) => (Object.hasOwn(ESCAPES, character) ? ESCAPES[character] : character);
const section = (text) => ({ type: "section", text: { type: "mrkdwn", text, verbatim: true } });

function handler(webhook) {
  const title = cut(webhook.eventType, 150, escaped);
  const template = variable(webhook, "text");
  let text;
  let blocks;
  if (template !== undefined) {
    text = filled(template, webhook, 3000, escaped) || title;
    blocks = [section(text)];
  } else {
    const { found, left } = fieldsOf(webhook.payload, 20);
    const fields = found.map(([name, value]) => ({
      type: "mrkdwn",
      text: `*${cut(name, 200, escaped) || "\u2013"}*\n${cut(value, 1500, escaped)}`,
      verbatim: true,
    }));
    text = title;
    blocks = [{ type: "header", text: { type: "plain_text", text: title, emoji: false } }];
    for (let start = 0; start < fields.length; start += 10) blocks.push({ type: "section", fields: fields.slice(start, start + 10) });
    if (left > 0) blocks.push({ type: "context", elements: [{ type: "plain_text", text: `and ${left} more`, emoji: false }] });
  }
  webhook.payload = { text, blocks, unfurl_links: false, unfurl_media: false };
  return webhook;
}
