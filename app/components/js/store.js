// Keeps tables of scores for the pages that need them: sent once, then found by their name.
// Layout: header length (uint32), header (JSON, padded to four bytes), scores (float32, N × early),
// right answers (uint32, N × one for every 32 exits: bit e % 32 of number ⌊e / 32⌋ for exit e; the
// reference counts as one more exit), and
// where classes are ruled out on the way, between which thresholds the final answer is right
// (float32, N × 2).

export default function (component) {
  const bytes = component.data;
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const length = new Uint32Array(buffer, 0, 1)[0];
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const { samples, early } = header;
  header.scores = new Float32Array(buffer, 4 + length, samples * early);
  const words = ((early + 1) >>> 5) + 1;
  header.right = new Uint32Array(buffer, 4 + length + 4 * samples * early, samples * words);
  const end = 4 + length + 4 * samples * (early + words);
  if (end < buffer.byteLength) header.window = new Float32Array(buffer, end, 2 * samples);

  const tables = (window.earlyExitTables ??= new Map());
  tables.delete(header.id);
  tables.set(header.id, header);
  for (const id of [...tables.keys()].slice(0, -4)) tables.delete(id);
  window.dispatchEvent(new Event('early-exit-table'));
}
