// The graphql-http audits against URL with TOKEN: prints what fails and ends with 1 unless every one passes.
import { serverAudits } from 'graphql-http';

const { URL: url, TOKEN: token } = process.env;
if (!url || !token) throw new Error('set URL and TOKEN');

const fetchFn = (target, init = {}) => {
  const headers = new Headers(init.headers);
  headers.set('authorization', `Bearer ${token}`);
  return fetch(target, { ...init, headers });
};

const audits = serverAudits({ url, fetchFn });
let passed = 0;
// One after another: all at once would measure the server's queue, not its answers.
for (const audit of audits) {
  const result = await audit.fn();
  if (result.status === 'ok') {
    passed += 1;
  } else {
    console.log(`${result.status}  ${audit.id}  ${audit.name}: ${result.reason}`);
  }
}
console.log(`${passed} of ${audits.length} graphql-http audits passed`);
process.exit(passed === audits.length && audits.length >= 61 ? 0 : 1);
