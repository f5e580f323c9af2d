// A message for a Slack incoming webhook: the event type, and the payload's fields below it; or the variable `text`, filled in.
// Slack allows 50 blocks, 10 fields of 2000 characters in a section, and 150 characters in a header.

// Slack reads links, mentions and channels between < and >, and nowhere else in verbatim texts. Nothing escapes *, _, ~, ` and :emoji: in mrkdwn, so
// that what comes from the payload is plain text, except within the variable `text`, which may have markup of its own.
const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
const escaped = (character) => (Object.hasOwn(ESCAPES, character) ? ESCAPES[character] : character);
const plain = (text) => ({ type: "plain_text", text, emoji: false });
const section = (text) => ({ type: "section", text });

function handler(webhook) {
  const title = cut(webhook.eventType, 150, escaped);
  const template = variable(webhook, "text");
  let text;
  let blocks;
  if (template !== undefined) {
    text = filled(template, webhook, 3000, escaped) || title;
    blocks = [section(text === title ? plain(text) : { type: "mrkdwn", text, verbatim: true })];
  } else {
    const { found, left } = fieldsOf(webhook.payload, 20);
    const fields = found.map(([name, value]) => plain(`${cut(name, 200, escaped) || "\u2013"}\n${cut(value, 1500, escaped)}`));
    text = title;
    blocks = [{ type: "header", text: plain(title) }];
    for (let start = 0; start < fields.length; start += 10) blocks.push({ type: "section", fields: fields.slice(start, start + 10) });
    if (left > 0) blocks.push({ type: "context", elements: [plain(`and ${left} more`)] });
  }
  webhook.payload = { text, blocks, unfurl_links: false, unfurl_media: false };
  return webhook;
}
