-- Declares a generation loaded, if all of it is still there: the first thing that a load writes is gone if Redis forgot
-- anything since. A shelf that is missing would be made anew by the first unit that is put back.
--
-- KEYS  the marker of the generation, the hash of available units by product
-- ARGV  the marker to set, the field that was written first
-- Answers LOST, or OK and the marker that was there before, if there was one
if redis.call('HEXISTS', KEYS[2], ARGV[2]) == 0 then
  return {'LOST'}
end
redis.call('PERSIST', KEYS[2])
local before = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1])
return {'OK', before or nil}
