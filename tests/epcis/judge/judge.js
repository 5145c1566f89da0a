// Judges EPCIS documents, one a line of stdin; answers a line each: what is wrong, and the hash of every event.
const readline = require('node:readline');
const { eventToHashedId, validateEpcisDocument } = require('epcis2.js');

const eventsOf = ({ epcisBody }) => epcisBody.eventList ?? epcisBody.queryResults.resultsBody.eventList;

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const document = JSON.parse(line);
  const { errors } = validateEpcisDocument(document, false);
  const hashes = eventsOf(document).map((event) => eventToHashedId(event, document['@context']));
  process.stdout.write(`${JSON.stringify({ errors, hashes })}\n`);
});
