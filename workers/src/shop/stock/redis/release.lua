-- Puts back the units of a batch of reservations, each once, if Redis is in the generation that the caller means.
--
-- KEYS  the marker of the generation, the hash of available units by product
-- ARGV  the marker meant, the prefix of records, how long records live (s), the number of reservations, and for each:
--       name, what to do, lines as text
--       'keep-out': put back the lines given, and let no reservation of that name in any more: for one that this
--                   generation admitted
--       'return':   put back the lines given, which an earlier generation admitted; and as 'drop', for a late worker may
--                   have set them apart once more in this one. Each is put back once, on its own account
--       'drop':     put back the lines of its own record, if there is one, and let none in any more
--       'forget':   put back the lines of its own record, if there is one, as if it had never been there
-- Answers STALE or OK
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 'STALE'
end

local function put_back(lines)
  for sku, quantity in string.gmatch(lines, '([^=,]+)=(%d+)') do
    redis.call('HINCRBY', KEYS[2], sku, quantity)
  end
end

local at = 5
for _ = 1, tonumber(ARGV[4]) do
  local record, what, lines = ARGV[2] .. ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if what == 'return' and redis.call('SET', ARGV[2] .. 'returned:' .. ARGV[at], '1', 'NX', 'EX', ARGV[3]) then
    put_back(lines)
  end
  at = at + 3
  local known = redis.call('GET', record)
  if known ~= 'X' then
    if what ~= 'keep-out' then
      lines = known or ''
    end
    put_back(lines)
    if what == 'forget' then
      redis.call('DEL', record)
    else
      redis.call('SET', record, 'X', 'EX', ARGV[3])
    end
  end
end
return 'OK'
