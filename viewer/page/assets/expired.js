/** Footage that was deleted before it was known to be stored, in a sentence. */

import { dateAndMinute } from "./time.js";
import { t, tOr } from "./words.js";

export const expiredWords = ({ starts_at: from, ends_at: to, reason }) =>
  t("expired", {
    from: dateAndMinute(Date.parse(from)),
    to: dateAndMinute(Date.parse(to)),
    why: tOr("expired", reason),
  });
