// A message for a Discord webhook: an embed with the event type and the payload's fields; or the variable `text`, filled in.
// Discord allows 2000 characters of content; 25 fields, names of 256, values of 1024 and 6000 characters altogether in an embed.

// Discord's markup; a zero-width space after @ leaves no name that anybody is called by.
const MARKUP = new Set("\\*_~`|<>#:[]()-");
const escaped = (character) => (character === "@" ? "@\u200b" : MARKUP.has(character) ? `\\${character}` : character);
const EMPTY = "\u200b"; // names and values must not be empty

function embed(webhook) {
  const title = cut(webhook.eventType, 256, escaped);
  const { found, left } = fieldsOf(webhook.payload, 25);
  const fields = [];
  let total = title.length;
  for (const [name, value] of found) {
    const field = { name: cut(name, 256, escaped).trim() || EMPTY, value: cut(value, 1024, escaped).trim() || EMPTY, inline: value.length < 40 };
    total += field.name.length + field.value.length;
    if (total > 5900) break;
    fields.push(field);
  }
  const missing = left + found.length - fields.length;
  return { title, fields, ...(missing > 0 ? { footer: { text: `and ${missing} more` } } : {}) };
}

function handler(webhook) {
  const template = variable(webhook, "text");
  const content = template === undefined ? "" : filled(template, webhook, 2000, escaped);
  // Nobody is told, whoever a payload names.
  const message = { allowed_mentions: { parse: [] } };
  if (content !== "") message.content = content;
  else message.embeds = [embed(webhook)];
  webhook.payload = message;
  return webhook;
}
